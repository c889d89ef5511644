//! `tests/vectors/keyring-v1.json`: what must unwrap for ever, and what never.
//!
//! The file was written once, by
//! `cargo test -p secretvault-keyring -- --ignored freeze_the_vectors`, and is frozen: it has the
//! random salts of that day. `tests/vectors/open_vectors.py` opens it too.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use secretvault_envelope::{DataKeyPayload, Dek, DekId, Plaintext, RootKey, VaultBinding};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::Key;
use crate::{KeyId, Keyring, UnwrapError};

#[test]
fn every_frozen_vector_unwraps_or_is_refused_as_it_says() {
    let vectors = read();
    assert!(vectors.wraps.len() > 20, "too few vectors");
    for vector in vectors.wraps {
        let keyring = Keyring::parse(&vector.keyring.to_string()).expect("a keyring");
        let key_id: KeyId = vector.key_id.parse().expect("a key id");
        let found = keyring.unwrap(&key_id, &vector.wrapped);
        let found = found.ok().map(|payload| hex(payload.expose()));
        assert_eq!(found, vector.payload, "{}", vector.name);
    }
}

#[test]
fn a_vector_of_an_unknown_key_is_refused_by_name() {
    let vectors = read();
    let vector = vectors
        .wraps
        .iter()
        .find(|vector| vector.name == UNKNOWN_KEY);
    let vector = vector.expect("the vector is there");
    let keyring = Keyring::parse(&vector.keyring.to_string()).expect("a keyring");
    let key_id: KeyId = vector.key_id.parse().expect("a key id");
    let error = keyring.unwrap(&key_id, &vector.wrapped).unwrap_err();
    assert_eq!(error, UnwrapError::UnknownKey(key_id));
}

#[test]
#[ignore = "writes the frozen vectors anew"]
fn freeze_the_vectors() {
    let mut wraps = good_wraps();
    wraps.extend(foreign_wraps(&wraps[0]));
    wraps.extend(misspelled_wraps(&wraps[0]));
    wraps.extend(cut_wraps(&wraps[0]));
    let vectors = Vectors {
        about: ABOUT.to_owned(),
        wraps,
    };
    let text = serde_json::to_string_pretty(&vectors).expect("vectors are JSON") + "\n";
    fs::write(path(), text).expect("the vectors are writable");
}

#[derive(Deserialize, Serialize)]
struct Vectors {
    about: String,
    wraps: Vec<WrapVector>,
}

/// A wrapped payload, the key it is said to open with, and the payload, or `None` if it must not.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WrapVector {
    name: String,
    keyring: Value,
    key_id: String,
    wrapped: String,
    payload: Option<String>,
}

impl WrapVector {
    fn wrapped(name: &str, keyring: &Keyring, payload: &[u8]) -> Self {
        let wrapped = keyring
            .wrap(&Plaintext::from(payload))
            .expect("a short payload");
        Self {
            name: name.to_owned(),
            keyring: serde_json::from_str(&keyring.to_json()).expect("JSON"),
            key_id: wrapped.key_id.to_string(),
            wrapped: wrapped.wrapped,
            payload: Some(hex(payload)),
        }
    }

    fn refused(&self, name: &str, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = Self {
            name: name.to_owned(),
            payload: None,
            ..self.clone()
        };
        change(&mut changed);
        assert_ne!(
            changed.identity(),
            self.identity(),
            "{name} changes nothing"
        );
        changed
    }

    fn identity(&self) -> (&Value, &str, &str) {
        (&self.keyring, &self.key_id, &self.wrapped)
    }

    fn respelled(&self, name: &str, respell: impl FnOnce(&str) -> String) -> Self {
        self.refused(name, |vector| vector.wrapped = respell(&vector.wrapped))
    }
}

fn good_wraps() -> Vec<WrapVector> {
    let payload = payload();
    let mut rotated = WrapVector::wrapped("wrapped before a rotation", &keyring(ID, 1), &payload);
    rotated.keyring["primary"] = Value::from("2".repeat(16));
    rotated.keyring["keys"] = rotated_keys();
    vec![
        WrapVector::wrapped("a data key payload", &keyring(ID, 1), &payload),
        WrapVector::wrapped("an empty payload", &keyring(ID, 1), b""),
        WrapVector::wrapped("any bytes", &keyring(ID, 1), &[0xff; 100]),
        WrapVector::wrapped(
            "the longest payload",
            &keyring(ID, 1),
            &[b'x'; crate::MAX_PAYLOAD_LEN],
        ),
        rotated,
    ]
}

fn foreign_wraps(good: &WrapVector) -> Vec<WrapVector> {
    vec![
        good.refused(UNKNOWN_KEY, |vector| {
            vector.key_id = "00000000000000aa".to_owned();
        }),
        good.refused("the id of another key of the keyring", |vector| {
            vector.keyring["keys"] = rotated_keys();
            vector.key_id = "2".repeat(16);
        }),
        good.refused("another keyring with the same key and key id", |vector| {
            vector.keyring["id"] = Value::from("f".repeat(32));
        }),
        good.refused("the same key under another id", |vector| {
            vector.key_id = "3".repeat(16);
            vector.keyring["primary"] = Value::from("3".repeat(16));
            vector.keyring["keys"][0]["id"] = Value::from("3".repeat(16));
        }),
        good.refused("another key under the same id", |vector| {
            vector.keyring["keys"][0]["key"] = rotated_keys()[1]["key"].clone();
        }),
    ]
}

fn misspelled_wraps(good: &WrapVector) -> Vec<WrapVector> {
    // 152 bytes are 203 letters: the last has two unused bits.
    let respelled = |name, respell: fn(&str) -> String| good.respelled(name, respell);
    vec![
        respelled("padding", |text| format!("{text}=")),
        respelled("unused bits that are not zero", |text| {
            let (rest, last) = text.split_at(text.len() - 1);
            let position = ALPHABET.find(last).expect("a letter of the alphabet");
            format!("{rest}{}", &ALPHABET[position + 1..position + 2])
        }),
        respelled("the standard alphabet", |text| {
            text.replace('_', "/").replace('-', "+")
        }),
        respelled("a line's end after it", |text| format!("{text}\n")),
        respelled("a space before it", |text| format!(" {text}")),
        respelled("an envelope's prefix", |text| format!("sv1:{text}")),
        respelled("a letter outside of the alphabet", |text| {
            format!("*{}", &text[1..])
        }),
        respelled("empty text", |_| String::new()),
    ]
}

fn cut_wraps(good: &WrapVector) -> Vec<WrapVector> {
    let letters = |bytes: usize| bytes * 4 / 3;
    let replaced = |index: usize| {
        let text = &good.wrapped;
        let other = if text[index..].starts_with('A') {
            "B"
        } else {
            "A"
        };
        format!("{}{other}{}", &text[..index], &text[index + 1..])
    };
    let cut = |name, bytes| good.respelled(name, |text| text[..letters(bytes)].to_owned());
    vec![
        cut("cut within the salt", 30),
        cut("nothing but salt and a tag's length", 48),
        cut("cut within the ciphertext", 90),
        cut("cut within the tag", 150),
        good.respelled("four trailing letters", |text| format!("{text}AAAA")),
        good.respelled("a letter of the salt replaced", |_| replaced(0)),
        good.respelled("a letter of the ciphertext replaced", |_| replaced(60)),
        good.respelled("a letter of the tag replaced", |_| replaced(200)),
        too_long(),
    ]
}

/// Made with the right key, by somebody who knows no limit.
fn too_long() -> WrapVector {
    let keyring = keyring(ID, 1);
    let context = secretvault_envelope::context(
        "secretvault/local-wrap/v1",
        &[ID, &keyring.primary.id.to_string()],
    );
    let long = [b'x'; crate::MAX_PAYLOAD_LEN + 1];
    let sealed = secretvault_envelope::SaltedBox::seal(&keyring.primary.secret, &context, &long);
    let sealed = sealed.expect("sealed").to_string();
    WrapVector::wrapped("", &keyring, b"").refused("a payload one byte too long", |vector| {
        vector.wrapped = sealed;
    })
}

fn rotated_keys() -> Value {
    let mut both = keyring(ID, 1);
    both.others.push(keyring(ID, 2).primary);
    let document: Value = serde_json::from_str(&both.to_json()).expect("JSON");
    document["keys"].clone()
}

fn keyring(id: &str, number: u8) -> Keyring {
    let primary = Key {
        id: number.to_string().repeat(16).parse().expect("a key id"),
        secret: RootKey::from_bytes(&[number; 32]),
        created: "2026-01-31T12:00:00Z".parse::<Timestamp>().expect("a time"),
    };
    Keyring {
        id: id.to_owned(),
        primary,
        others: Vec::new(),
    }
}

fn payload() -> Vec<u8> {
    let dek_id = DekId::from_bytes([0xd0; 16]);
    let dek = Dek::from_bytes(&[7; 32]);
    let vault = VaultBinding::new(ID, "shop", "app");
    DataKeyPayload::encode(&vault, dek_id, &dek)
        .expose()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read() -> Vectors {
    let text = fs::read_to_string(path()).expect("the frozen vectors are readable");
    serde_json::from_str(&text).expect("the frozen vectors are JSON")
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/keyring-v1.json")
}

const ABOUT: &str = "Frozen vectors of secretvault-keyring, whose documentation specifies the \
    format. Payloads are in hexadecimal; null: must be refused. Made by keyring/src/vectors.rs.";
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const ID: &str = "6f1c0a4be2d94f1a8b7de06b5a0c9e31";
const UNKNOWN_KEY: &str = "an id of no key of the keyring";
