//! Opens the frozen vectors through the public interface, and with a second implementation.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use secretvault_envelope::{
    Binding, DataKeyPayload, Dek, DekId, EntryKey, Envelope, Plaintext, VaultBinding,
};
use serde::Deserialize;

#[test]
fn every_frozen_envelope_opens_or_is_refused_as_it_says() {
    for vector in read().envelopes {
        let opened = vector.open_with_dek().map(|value| hex(value.expose()));
        assert_eq!(opened, vector.value, "{}", vector.name);
    }
}

#[test]
fn every_frozen_envelope_opens_alike_with_its_entry_key() {
    for vector in read().envelopes {
        let opened = vector
            .open_with_entry_key()
            .map(|value| hex(value.expose()));
        assert_eq!(opened, vector.value, "{}", vector.name);
    }
}

#[test]
fn every_frozen_envelope_that_is_read_is_written_as_it_was() {
    for vector in read().envelopes {
        if let Ok(envelope) = vector.envelope.parse::<Envelope>() {
            assert_eq!(envelope.to_string(), vector.envelope, "{}", vector.name);
        }
    }
}

#[test]
fn every_frozen_payload_is_decoded_or_refused_as_it_says() {
    for vector in read().payloads {
        let vault = VaultBinding::new(&vector.scope, &vector.namespace, &vector.vault);
        let id: DekId = vector.dek_id.parse().expect("a data key id");
        let found = DataKeyPayload::decode(&Plaintext::from(bytes(&vector.payload)), &vault, id);
        let expected = vector.dek.as_deref().map(dek);
        assert_eq!(found.ok(), expected, "{}", vector.name);
    }
}

#[test]
fn most_frozen_vectors_are_negative() {
    let vectors = read();
    let refused = vectors
        .envelopes
        .iter()
        .filter(|vector| vector.value.is_none())
        .count();
    assert!(
        refused > 50 && refused > vectors.envelopes.len() / 2,
        "{refused}"
    );
    let refused = vectors
        .payloads
        .iter()
        .filter(|vector| vector.dek.is_none())
        .count();
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_second_implementation_agrees_on_every_frozen_vector() {
    let python = python_with_cryptography()
        .expect("python3-cryptography is needed: apt-get install python3-cryptography");
    let output = Command::new(python)
        .arg(directory().join("open_vectors.py"))
        .output()
        .expect("python starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let failures = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains(" 0 failed"),
        "{told}{failures}"
    );
}

#[derive(Deserialize)]
struct Vectors {
    envelopes: Vec<EnvelopeVector>,
    payloads: Vec<PayloadVector>,
}

#[derive(Deserialize)]
struct EnvelopeVector {
    name: String,
    dek: String,
    scope: String,
    namespace: String,
    vault: String,
    entry: String,
    envelope: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadVector {
    name: String,
    scope: String,
    namespace: String,
    vault: String,
    dek_id: String,
    payload: String,
    dek: Option<String>,
}

impl EnvelopeVector {
    fn open_with_dek(&self) -> Option<Plaintext> {
        let envelope: Envelope = self.envelope.parse().ok()?;
        envelope
            .open_with_dek(&dek(&self.dek), &self.binding())
            .ok()
    }

    /// The way of a released key: from the operator, over the wire, to the node agent.
    fn open_with_entry_key(&self) -> Option<Plaintext> {
        let envelope: Envelope = self.envelope.parse().ok()?;
        let released = dek(&self.dek).entry_key(&self.binding(), &envelope);
        let received = EntryKey::try_from(released.expose()).ok()?;
        envelope.open(&received, &self.binding()).ok()
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(&self.scope, &self.namespace, &self.vault, &self.entry)
    }
}

/// Returns the first Python that has the package; the one of `PATH` may be a version manager's.
fn python_with_cryptography() -> Option<&'static str> {
    let has_package = |python: &&str| {
        let import = Command::new(python)
            .args(["-c", "import cryptography"])
            .output();
        import.is_ok_and(|output| output.status.success())
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(has_package)
}

fn read() -> Vectors {
    let text = fs::read_to_string(directory().join("envelope-v1.json"));
    serde_json::from_str(&text.expect("the frozen vectors are readable")).expect("vectors")
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn dek(text: &str) -> Dek {
    Dek::from_bytes(&bytes(text).try_into().expect("32 bytes"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}
