//! Makes `tests/vectors/envelope-v1.json`, and sees that it never changes.
//!
//! The file was written once, by
//! `cargo test -p secretvault-envelope -- --ignored freeze_the_vectors`. It is frozen: a vector may
//! be added at the end of a list; one that changes means that stored envelopes no longer open.

mod envelopes;
mod payloads;

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use self::envelopes::EnvelopeVector;
use self::payloads::PayloadVector;
use crate::{Binding, Dek, VaultBinding};

#[test]
fn the_frozen_vectors_are_what_this_code_makes() {
    let frozen = fs::read_to_string(path()).expect("the frozen vectors are readable");
    assert!(
        frozen == Vectors::made().to_json(),
        "the format has changed: see src/vectors.rs"
    );
}

#[test]
#[ignore = "writes the frozen vectors anew"]
fn freeze_the_vectors() {
    fs::write(path(), Vectors::made().to_json()).expect("the vectors are writable");
}

#[derive(Serialize)]
struct Vectors {
    about: &'static str,
    envelopes: Vec<EnvelopeVector>,
    payloads: Vec<PayloadVector>,
}

impl Vectors {
    fn made() -> Self {
        Self {
            about: ABOUT,
            envelopes: envelopes::all(),
            payloads: payloads::all(),
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("vectors are JSON") + "\n"
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dek() -> Dek {
    Dek::from_bytes(&DEK)
}

fn vault() -> VaultBinding<'static> {
    VaultBinding::new(SCOPE, "shop", "app")
}

fn binding() -> Binding<'static> {
    vault().entry("db/password")
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/envelope-v1.json")
}

const ABOUT: &str = "Frozen vectors of secretvault-envelope, whose documentation specifies the \
    format. Keys, ids, values and payloads are in hexadecimal; value or dek null: must be refused. \
    Made by envelope/src/vectors.rs.";
const SCOPE: &str = "6f1c0a4be2d94f1a8b7de06b5a0c9e31";
const DEK: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31,
];
