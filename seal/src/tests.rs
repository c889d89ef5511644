mod annotations;
mod brought;
mod editing;
mod limits;
mod operator;
mod reseal;
mod sequences;
mod world;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secretvault_crds::DataKey;
use secretvault_envelope::{Dek, Envelope, VaultBinding};
use serde_json::{Value, json};

use crate::annotations::LAST_APPLIED;
use crate::{Change, KeyNeed, Manifest, OpenedKey, Refusal, Rights, Wish, examine};

/// An object of the namespace `shop`, as sealing sees it.
#[derive(Clone)]
struct Object {
    name: String,
    annotations: BTreeMap<String, String>,
    spec: Value,
}

impl Object {
    fn new(spec: Value) -> Self {
        Self {
            name: "app".into(),
            annotations: BTreeMap::new(),
            spec,
        }
    }

    fn annotated(mut self, key: &str, text: &str) -> Self {
        self.annotations.insert(key.into(), text.into());
        self
    }

    fn manifest(&self) -> Manifest<'_> {
        Manifest {
            namespace: "shop",
            name: &self.name,
            annotations: &self.annotations,
            spec: &self.spec,
        }
    }

    /// This object as it is stored: sealed with the test's key.
    fn stored(&self) -> Self {
        let mut stored = self.clone();
        stored.change(seal(None, self).expect("the object can be sealed"));
        stored
    }

    fn change(&mut self, changes: Vec<Change>) {
        for change in changes {
            change.make(&mut self.spec, &mut self.annotations);
        }
    }

    fn value(&self, map: &str, entry: &str) -> &str {
        self.spec[map][entry].as_str().unwrap()
    }
}

fn key() -> OpenedKey {
    let data_key = DataKey {
        provider: "default".into(),
        key_id: "00000000000000aa".into(),
        id: "000102030405060708090a0b0c0d0e0f".into(),
        wrapped: "d3JhcHBlZA".into(),
        rekey: 0,
        ..DataKey::default()
    };
    OpenedKey {
        dek: Dek::from_bytes(&[7; 32]),
        data_key,
        scope: "test".into(),
        former: None,
    }
}

/// A request of anybody, for a vault that names no provider.
const WISH: Wish<'_> = Wish {
    provider: "default",
    by_operator: false,
    now: Timestamp::UNIX_EPOCH,
};

fn seal(stored: Option<&Object>, incoming: &Object) -> Result<Vec<Change>, Refusal> {
    examine(stored.map(Object::manifest), incoming.manifest(), &WISH)?.seal(Some(&key()))
}

fn need(stored: Option<&Object>, incoming: &Object) -> Result<KeyNeed, Refusal> {
    examine(stored.map(Object::manifest), incoming.manifest(), &WISH).map(|it| it.need().clone())
}

fn rights(stored: Option<&Object>, incoming: &Object) -> Rights {
    examine(stored.map(Object::manifest), incoming.manifest(), &WISH)
        .unwrap()
        .rights()
}

fn open(object: &Object, map: &str, entry: &str) -> Vec<u8> {
    let envelope: Envelope = object.value(map, entry).parse().expect("an envelope");
    let vault = VaultBinding {
        scope: "test",
        namespace: "shop",
        vault: &object.name,
    };
    let plaintext = envelope
        .open_with_dek(&key().dek, &vault.entry(entry))
        .expect("opens");
    plaintext.expose().to_vec()
}

#[test]
fn each_plain_value_becomes_an_envelope_of_its_bytes() {
    let stored = Object::new(json!({
        "data": {"db/password": "hunter2", "empty": ""},
        "binaryData": {"key.der": "AAEC"},
        "publicData": {"host": "db.shop.svc"},
    }))
    .stored();
    assert_eq!(open(&stored, "data", "db/password"), b"hunter2");
    assert_eq!(open(&stored, "data", "empty"), b"");
    assert_eq!(open(&stored, "binaryData", "key.der"), [0, 1, 2]);
    assert_eq!(stored.value("publicData", "host"), "db.shop.svc");
    assert_eq!(stored.spec["dataKey"]["provider"], "default");
}

#[test]
fn the_same_manifest_again_gives_the_stored_object_again() {
    let manifest = Object::new(json!({"data": {"a": "1"}, "binaryData": {"b": "AAEC"}})).annotated(
        LAST_APPLIED,
        r#"{"spec":{"data":{"a":"1"},"binaryData":{"b":"AAEC"}}}"#,
    );
    let stored = manifest.stored();
    let mut again = manifest.clone();
    again.change(seal(Some(&stored), &manifest).unwrap());
    assert_eq!(again.spec, stored.spec);
    assert_eq!(again.annotations, stored.annotations);
}

#[test]
fn a_map_of_nothing_is_an_empty_one() {
    let mut object =
        Object::new(json!({"data": {"a": "1"}, "binaryData": null, "publicData": null}));
    object.change(seal(None, &object).unwrap());
    assert_eq!(object.spec["binaryData"], json!({}));
    assert_eq!(object.spec["publicData"], json!({}));
    assert_eq!(object.spec.get("publicBinaryData"), None);
}

#[test]
fn a_changed_value_gets_a_new_envelope_and_the_others_keep_theirs() {
    let stored = Object::new(json!({"data": {"a": "1", "b": "2"}})).stored();
    let mut next = Object::new(json!({"data": {"a": "1", "b": "changed"}}));
    next.change(seal(Some(&stored), &next).unwrap());
    assert_eq!(next.value("data", "a"), stored.value("data", "a"));
    assert_ne!(next.value("data", "b"), stored.value("data", "b"));
    assert_eq!(open(&next, "data", "b"), b"changed");
}

#[test]
fn fresh_envelopes_seals_the_same_value_anew() {
    let spec = json!({"data": {"a": "1"}, "freshEnvelopes": true});
    let stored = Object::new(spec.clone()).stored();
    let mut again = Object::new(spec);
    again.change(seal(Some(&stored), &again).unwrap());
    assert_ne!(again.value("data", "a"), stored.value("data", "a"));
}

#[test]
fn a_stored_envelope_that_no_longer_opens_is_replaced_by_the_plain_value() {
    let mut stored = Object::new(json!({"data": {"a": "1"}})).stored();
    let elsewhere = Object::new(json!({"data": {"b": "1"}})).stored();
    stored.spec["data"]["a"] = elsewhere.spec["data"]["b"].clone();
    let mut next = Object::new(json!({"data": {"a": "1"}}));
    next.change(seal(Some(&stored), &next).unwrap());
    assert_eq!(open(&next, "data", "a"), b"1");
}

#[test]
fn an_envelope_of_another_entry_vault_or_key_is_refused() {
    let stored = Object::new(json!({"data": {"a": "1", "b": "2"}})).stored();
    let mut moved = stored.clone();
    moved.spec["data"]["a"] = stored.spec["data"]["b"].clone();
    assert!(matches!(
        seal(Some(&stored), &moved),
        Err(Refusal::ForeignEnvelope { .. })
    ));

    let mut renamed = stored.clone();
    renamed.name = "other".into();
    assert!(matches!(
        seal(None, &renamed),
        Err(Refusal::ForeignEnvelope { .. })
    ));
    assert!(
        seal(None, &stored).is_ok(),
        "the control: the same envelopes, under their own name"
    );
}

#[test]
fn a_text_that_only_starts_like_an_envelope_is_refused() {
    let incoming = Object::new(json!({"data": {"a": "sv1:hunter2"}}));
    let refusal = seal(None, &incoming).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::ForeignEnvelope { map: "data", .. }
    ));
    assert!(!refusal.to_string().contains("hunter2"));
    let incoming = Object::new(json!({"data": {"a": "git1:hunter2"}}));
    assert!(matches!(
        seal(None, &incoming),
        Err(Refusal::SealedForGit { .. })
    ));
    let text = BASE64_STANDARD.encode("sv1:hunter2");
    let stored = Object::new(json!({"binaryData": {"a": text}})).stored();
    assert_eq!(open(&stored, "binaryData", "a"), b"sv1:hunter2");
}

#[test]
fn a_manifest_without_data_key_keeps_the_stored_one() {
    let stored = Object::new(json!({"data": {"a": "1"}})).stored();
    let mut next = stored.clone();
    next.spec.as_object_mut().unwrap().remove("dataKey");
    assert_eq!(need(Some(&stored), &next), Ok(KeyNeed::Nothing));
    let changes = examine(Some(stored.manifest()), next.manifest(), &WISH)
        .unwrap()
        .seal(None)
        .unwrap();
    next.change(changes);
    assert_eq!(next.spec, stored.spec);
}

#[test]
fn a_wrapped_key_of_another_data_key_is_refused_without_asking_for_a_key() {
    let stored = Object::new(json!({"data": {"a": "1"}})).stored();
    let mut foreign = stored.clone();
    foreign.spec["dataKey"]["id"] = json!("ff0102030405060708090a0b0c0d0e0f");
    assert_eq!(need(Some(&stored), &foreign), Err(Refusal::ForeignDataKey));
}

#[test]
fn a_rewrapped_key_is_compared_and_the_stored_one_stays() {
    let stored = Object::new(json!({"data": {"a": "1"}})).stored();
    let mut incoming = stored.clone();
    incoming.spec["dataKey"]["wrapped"] = json!("b3RoZXI");
    assert!(matches!(
        need(Some(&stored), &incoming),
        Ok(KeyNeed::Compare { .. })
    ));
    assert!(rights(Some(&stored), &incoming).restore);
    incoming.change(seal(Some(&stored), &incoming).unwrap());
    assert_eq!(incoming.spec, stored.spec);
}

#[test]
fn restore_is_needed_for_what_is_not_stored_and_for_nothing_else() {
    let plain = Object::new(json!({"data": {"a": "1"}}));
    let stored = plain.stored();
    assert!(!rights(None, &plain).restore);
    assert!(!rights(Some(&stored), &plain).restore);
    assert!(!rights(Some(&stored), &stored).restore);
    assert!(
        rights(None, &stored).restore,
        "a backup brings envelopes and a wrapped key"
    );
    let other = plain.stored();
    let mut rolled_back = stored.clone();
    rolled_back.spec["data"] = other.spec["data"].clone();
    assert!(
        rights(Some(&stored), &rolled_back).restore,
        "an older envelope of the same entry"
    );
}

#[test]
fn manage_is_needed_where_access_of_an_existing_vault_changes() {
    let stored = Object::new(json!({"data": {"a": "1"}})).stored();
    let mut opened = stored.clone();
    opened.spec["access"] = json!([{"serviceAccounts": ["*"]}]);
    assert!(rights(Some(&stored), &opened).manage);
    assert!(rights(Some(&opened), &stored).manage);
    assert!(!rights(Some(&opened), &opened).manage);
    assert!(
        !rights(None, &opened).manage,
        "whoever creates a vault decides who may use it"
    );
}

#[test]
fn nothing_secret_needs_no_key() {
    let public = Object::new(json!({"publicData": {"host": "db"}}));
    assert_eq!(need(None, &public), Ok(KeyNeed::Nothing));
    let stored = Object::new(json!({"data": {"a": "1"}})).stored();
    let mut described = stored.clone();
    described.spec["description"] = json!("what it is for");
    assert_eq!(need(Some(&stored), &described), Ok(KeyNeed::Nothing));
}

#[test]
fn a_new_vault_gets_a_key_of_the_provider_it_should_have() {
    let incoming = Object::new(json!({"data": {"a": "1"}, "keyProvider": "old"}));
    let wish = Wish {
        provider: "transit",
        ..WISH
    };
    let examined = examine(None, incoming.manifest(), &wish).unwrap();
    let expected = KeyNeed::New {
        provider: "transit".into(),
    };
    assert_eq!(*examined.need(), expected);
}

#[test]
fn base64_is_taken_only_in_its_one_canonical_form() {
    for text in ["AAEC\n", "AAE", "AAF=", "AAEC=", "A-EC", "not base64"] {
        let incoming = Object::new(json!({"binaryData": {"a": text}}));
        let refusal = Refusal::BinaryDataNotBase64 { entry: "a".into() };
        assert_eq!(seal(None, &incoming), Err(refusal), "{text:?}");
    }
}

#[test]
fn a_value_that_is_no_string_is_refused_by_name() {
    let incoming = Object::new(json!({"data": {"port": 5432}}));
    let refusal = Refusal::NotAString {
        map: "data",
        entry: "port".into(),
    };
    assert_eq!(seal(None, &incoming).unwrap_err(), refusal);
}

#[test]
fn a_generated_name_is_refused() {
    let mut incoming = Object::new(json!({"data": {"a": "1"}}));
    incoming.name.clear();
    assert_eq!(seal(None, &incoming).unwrap_err(), Refusal::GeneratedName);
}

#[test]
fn a_name_that_leaves_the_volume_is_refused_in_every_map() {
    for map in ["data", "binaryData", "publicData", "publicBinaryData"] {
        let incoming = Object::new(json!({map: {"../../etc/passwd": "AAEC"}}));
        assert!(
            matches!(seal(None, &incoming), Err(Refusal::Unusable(_))),
            "{map}"
        );
    }
}

#[test]
fn two_entries_at_one_path_are_refused_by_name() {
    for spec in [
        json!({"data": {"a": "hunter2", "a/b": "hunter2"}}),
        json!({"data": {"a": "hunter2", "b": "2"}, "files": [{"entry": "a", "path": "b"}]}),
        json!({"data": {"a": "hunter2"}, "publicData": {"a": "2"}}),
    ] {
        let refusal = seal(None, &Object::new(spec)).unwrap_err();
        assert!(matches!(refusal, Refusal::Unusable(_)), "{refusal}");
        assert!(!refusal.to_string().contains("hunter2"));
    }
    let apart = json!({"data": {"a": "1", "b": "2"}, "files": [{"entry": "a", "path": "c"}]});
    assert!(seal(None, &Object::new(apart)).is_ok());
}

#[test]
fn what_does_not_fit_the_schema_is_left_to_the_schema() {
    let spec = json!({"data": {"a": "1"}, "files": [{"entry": "a", "mode": 256}]});
    assert!(seal(None, &Object::new(spec)).is_ok());
}

#[test]
fn no_change_holds_a_plain_value() {
    let incoming = Object::new(json!({
        "data": {"a": "hunter2-plain"},
        "binaryData": {"b": BASE64_STANDARD.encode("hunter2-plain")},
    }))
    .annotated(LAST_APPLIED, r#"{"spec":{"data":{"a":"hunter2-plain"}}}"#);
    let changes = format!("{:?}", seal(None, &incoming).unwrap());
    assert!(!changes.contains("hunter2"));
    assert!(!changes.contains(&BASE64_STANDARD.encode("hunter2-plain")));
}
