//! Data key payloads that are decoded, and many that are refused.

use serde::Serialize;

use super::{DEK, SCOPE, dek, hex, vault};
use crate::{DataKeyPayload, DekId, VaultBinding};

pub(super) fn all() -> Vec<PayloadVector> {
    let mut payloads = good_payloads();
    payloads.extend(foreign_payloads());
    payloads.extend(malformed_payloads());
    payloads
}

/// A payload, whose it is said to be, and its data key, or `None` if it must be refused.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayloadVector {
    name: String,
    scope: String,
    namespace: String,
    vault: String,
    dek_id: String,
    payload: String,
    dek: Option<String>,
}

impl PayloadVector {
    fn encoded(name: &str, vault: VaultBinding<'_>) -> Self {
        let id = DekId::from_bytes(DEK_ID);
        Self {
            name: name.to_owned(),
            scope: vault.scope.to_owned(),
            namespace: vault.namespace.to_owned(),
            vault: vault.vault.to_owned(),
            dek_id: id.to_string(),
            payload: hex(DataKeyPayload::encode(&vault, id, &dek()).expose()),
            dek: Some(hex(&DEK)),
        }
    }

    fn refused(mut self, name: &str, change: impl FnOnce(&mut Self)) -> Self {
        self.name = name.to_owned();
        self.dek = None;
        change(&mut self);
        self
    }
}

fn good_payloads() -> Vec<PayloadVector> {
    let longest = ("n".repeat(63), "v".repeat(253));
    vec![
        PayloadVector::encoded("a payload", vault()),
        PayloadVector::encoded(
            "the longest names",
            VaultBinding::new(SCOPE, &longest.0, &longest.1),
        ),
        PayloadVector::encoded("empty names", VaultBinding::new("", "", "")),
    ]
}

fn foreign_payloads() -> Vec<PayloadVector> {
    let whole = PayloadVector::encoded("", vault());
    let foreign = |name, change: fn(&mut PayloadVector)| whole.clone().refused(name, change);
    vec![
        foreign("another vault's", |object| object.vault = "web".to_owned()),
        foreign("another namespace's", |object| {
            object.namespace = "batch".to_owned();
        }),
        foreign("another scope's", |object| object.scope = "f".repeat(32)),
        foreign("another id's", |object| object.dek_id = "f".repeat(32)),
        foreign("a letter moved from namespace to vault", |object| {
            object.namespace = "sho".to_owned();
            object.vault = "papp".to_owned();
        }),
    ]
}

fn malformed_payloads() -> Vec<PayloadVector> {
    let whole = PayloadVector::encoded("", vault());
    let text = whole.payload.clone();
    let spelled =
        |name: &str, payload: String| whole.clone().refused(name, |to| to.payload = payload);
    // "SVDK" ‖ version ‖ lp(scope) ‖ lp(namespace) ‖ lp(vault) ‖ id ‖ key
    let boundaries = [0, 4, 5, 9, 41, 45, 49, 53, 56, 72, 103];
    let mut made: Vec<_> = boundaries
        .iter()
        .map(|end| {
            spelled(
                &format!("cut behind byte {end}"),
                text[..2 * end].to_owned(),
            )
        })
        .collect();
    made.extend([
        spelled("another magic", text.replacen("5356444b", "5356444c", 1)),
        spelled("version 0", text.replacen("5356444b01", "5356444b00", 1)),
        spelled("version 2", text.replacen("5356444b01", "5356444b02", 1)),
        spelled("a trailing byte", format!("{text}00")),
        spelled("a leading byte", format!("00{text}")),
        spelled("a data key only", hex(&DEK)),
        spelled(
            "names without their lengths",
            text.replace("00000020", "").replace("00000004", ""),
        ),
    ]);
    made
}

const DEK_ID: [u8; 16] = [0xd0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
