//! Reading a keyring, strictly.

use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;

use crate::Keyring;
use crate::key::{Key, KeyId, decode_key, is_hexadecimal};

/// Bytes of a keyring's text: room for [`MAX_KEYS`], and no flood.
pub const MAX_KEYRING_LEN: usize = 64 * 1024;

/// Keys of a keyring. Each unwrap looks one up, each check compares all of them.
pub const MAX_KEYS: usize = 64;

impl Keyring {
    /// Reads a keyring; the caller wipes `text`.
    ///
    /// # Errors
    /// The text is not a keyring. The error names the field and the remedy and holds nothing of
    /// the text, for where one field is wrong another's content may stand in it.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let document = Document::parse(text)?;
        if document.version != VERSION {
            return Err(KeyringError::Version);
        }
        if !is_hexadecimal(document.id, KEYRING_ID_LEN) {
            return Err(KeyringError::Id);
        }
        let primary = document
            .primary
            .parse()
            .map_err(|_| KeyringError::Primary)?;
        if document.keys.is_empty() || document.keys.len() > MAX_KEYS {
            return Err(KeyringError::KeyCount);
        }
        let mut others = Vec::with_capacity(document.keys.len());
        for (index, entry) in document.keys.iter().enumerate() {
            others.push(entry.checked(index, &others)?);
        }
        let position = others.iter().position(|key| key.id == primary);
        let primary = others.remove(position.ok_or(KeyringError::PrimaryUnknown)?);
        Ok(Self {
            id: document.id.to_owned(),
            primary,
            others,
        })
    }
}

impl FromStr for Keyring {
    type Err = KeyringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What is wrong with a keyring's text. Never holds a part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyringError {
    /// A creation time is none.
    #[error("keys[{0}].created is not a time; write it like 2026-01-31T12:00:00Z")]
    Created(usize),
    /// Two keys have one id.
    #[error("keys[{0}].id is the id of another key too; give each key its own")]
    DuplicateId(usize),
    /// Two ids have one key.
    #[error("keys[{0}].key is another key's too; make one with: openssl rand -base64 32")]
    DuplicateKey(usize),
    /// The text holds a backslash.
    #[error("the keyring holds a backslash; write every field without escapes")]
    Escape,
    /// The keyring's id is none.
    #[error("id is not 32 lower-case hexadecimal digits; make one with: openssl rand -hex 16")]
    Id,
    /// A key is none.
    #[error(
        "keys[{0}].key is not base64 of 32 bytes (44 characters); make one with: \
         openssl rand -base64 32"
    )]
    Key(usize),
    /// There are no keys, or too many.
    #[error("keys holds none or more than {MAX_KEYS}; it takes 1 to {MAX_KEYS}")]
    KeyCount,
    /// A key's id is none.
    #[error(
        "keys[{0}].id is not 16 lower-case hexadecimal digits; make one with: openssl rand -hex 8"
    )]
    KeyId(usize),
    /// The primary's id is none.
    #[error("primary is not 16 lower-case hexadecimal digits; name the id of one of the keys")]
    Primary,
    /// The primary is not among the keys.
    #[error("primary is the id of none of the keys; name the id of one of them")]
    PrimaryUnknown,
    /// Not JSON, or not the JSON of a keyring.
    #[error(
        "the text does not fit at line {line}, column {column}; a keyring is a JSON object of \
         version, id, primary and keys, each key an object of id, key and created, and nothing else"
    )]
    Shape {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The text is too long.
    #[error("the keyring is longer than {MAX_KEYRING_LEN} bytes; remove keys that wrap nothing")]
    TooLong,
    /// Another version of the format.
    #[error("version is not 1; this release reads version 1 only")]
    Version,
}

/// The document, borrowed from its text: nothing of it is copied before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    version: u64,
    id: &'a str,
    primary: &'a str,
    #[serde(borrow)]
    keys: Vec<Entry<'a>>,
}

impl<'a> Document<'a> {
    fn parse(text: &'a str) -> Result<Self, KeyringError> {
        if text.len() > MAX_KEYRING_LEN {
            return Err(KeyringError::TooLong);
        }
        if text.contains('\\') {
            return Err(KeyringError::Escape);
        }
        // serde_json's own message may quote the text, so it is dropped.
        serde_json::from_str(text).map_err(|error| KeyringError::Shape {
            line: error.line(),
            column: error.column(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    id: &'a str,
    key: &'a str,
    created: &'a str,
}

impl Entry<'_> {
    fn checked(&self, index: usize, earlier: &[Key]) -> Result<Key, KeyringError> {
        let id: KeyId = self.id.parse().map_err(|_| KeyringError::KeyId(index))?;
        let secret = decode_key(self.key).map_err(|_| KeyringError::Key(index))?;
        let created: Timestamp = self
            .created
            .parse()
            .map_err(|_| KeyringError::Created(index))?;
        if earlier.iter().any(|key| key.id == id) {
            return Err(KeyringError::DuplicateId(index));
        }
        if earlier.iter().any(|key| key.secret == secret) {
            return Err(KeyringError::DuplicateKey(index));
        }
        Ok(Key {
            id,
            secret,
            created,
        })
    }
}

pub(crate) const VERSION: u64 = 1;
const KEYRING_ID_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_made_by_hand_is_read() {
        let keyring = Keyring::parse(DOCUMENT).unwrap();
        assert_eq!(keyring.id(), "6f1c0a4be2d94f1a8b7de06b5a0c9e31");
        assert_eq!(keyring.primary_id().to_string(), "9d3f5a1c7b2e4860");
        assert_eq!(keyring.export_primary().as_str(), KEY);
    }

    #[test]
    fn whitespace_around_and_within_does_not_matter() {
        let spread = DOCUMENT.replace(',', " ,\r\n\t") + "\n";
        assert!(Keyring::parse(&spread).is_ok());
    }

    #[test]
    fn the_primary_may_be_any_of_the_keys() {
        let two = with_second(
            r#""id":"1111111111111111","key":"CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=","created":"2026-02-01T12:00:00Z""#,
        );
        let turned = two.replace(
            r#""primary":"9d3f5a1c7b2e4860""#,
            r#""primary":"1111111111111111""#,
        );
        let ids: Vec<_> = Keyring::parse(&turned)
            .unwrap()
            .key_ids()
            .map(|id| id.to_string())
            .collect();
        assert_eq!(ids, ["1111111111111111", "9d3f5a1c7b2e4860"]);
    }

    #[test]
    fn each_wrong_field_is_named() {
        use KeyringError as E;
        let table = [
            (r#""version":1"#, r#""version":2"#, E::Version),
            (r#""id":"6f1c"#, r#""id":"6F1C"#, E::Id),
            (r#""id":"6f1c"#, r#""id":"6f1"#, E::Id),
            (r#""primary":"9d3f"#, r#""primary":"9d3"#, E::Primary),
            (
                r#""primary":"9d3f"#,
                r#""primary":"9d3e"#,
                E::PrimaryUnknown,
            ),
            (r#""id":"9d3f"#, r#""id":"9D3F"#, E::KeyId(0)),
            (r#""key":"Bwc"#, r#""key":"BwcH"#, E::Key(0)),
            (r#"Bwc=""#, r#"Bwd=""#, E::Key(0)),
            (r#"2026-01-31T"#, r#"2026-31-01T"#, E::Created(0)),
            (r#"12:00:00Z"#, r#"12:00:00"#, E::Created(0)),
            (r#""key":"Bwc"#, r#""key":"\u0042wc"#, E::Escape),
        ];
        for (right, wrong, error) in table {
            assert!(DOCUMENT.contains(right), "{right}");
            let text = DOCUMENT.replace(right, wrong);
            assert_eq!(Keyring::parse(&text).unwrap_err(), error, "{wrong}");
        }
    }

    #[test]
    fn a_field_missing_unknown_twice_or_of_another_type_does_not_fit() {
        let table = [
            (r#""version":1,"#, ""),
            (r#""version":1"#, r#""version":"1""#),
            (r#""version":1"#, r#""version":-1"#),
            (r#""version":1"#, r#""version":1,"version":1"#),
            (r#""version":1"#, r#""version":1,"comment":"ours""#),
            (r#""created""#, r#""made""#),
            (r#""created""#, r#""expires":"","created""#),
            (r#""keys":["#, r#""keys":[null,"#),
            ("}]}", "}]"),
            ("}]}", "}]}}"),
        ];
        for (right, wrong) in table {
            let text = DOCUMENT.replace(right, wrong);
            let error = Keyring::parse(&text).unwrap_err();
            assert!(
                matches!(error, KeyringError::Shape { .. }),
                "{wrong}: {error}"
            );
        }
        assert!(matches!(
            Keyring::parse("").unwrap_err(),
            KeyringError::Shape { .. }
        ));
    }

    #[test]
    fn two_keys_with_one_id_are_refused() {
        let text = with_second(
            r#""id":"9d3f5a1c7b2e4860","key":"CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=","created":"2026-02-01T12:00:00Z""#,
        );
        assert_eq!(
            Keyring::parse(&text).unwrap_err(),
            KeyringError::DuplicateId(1)
        );
    }

    #[test]
    fn one_key_under_two_ids_is_refused() {
        let text = with_second(&format!(
            r#""id":"1111111111111111","key":"{KEY}","created":"2026-02-01T12:00:00Z""#
        ));
        assert_eq!(
            Keyring::parse(&text).unwrap_err(),
            KeyringError::DuplicateKey(1)
        );
    }

    #[test]
    fn one_to_64_keys_are_read() {
        assert_eq!(
            Keyring::parse(&with_keys(0)).unwrap_err(),
            KeyringError::KeyCount
        );
        assert!(Keyring::parse(&with_keys(1)).is_ok());
        assert!(Keyring::parse(&with_keys(64)).is_ok());
        assert_eq!(
            Keyring::parse(&with_keys(65)).unwrap_err(),
            KeyringError::KeyCount
        );
    }

    #[test]
    fn text_is_read_up_to_64_kib() {
        let padded = |length: usize| format!("{DOCUMENT}{}", " ".repeat(length - DOCUMENT.len()));
        assert!(Keyring::parse(&padded(MAX_KEYRING_LEN)).is_ok());
        let error = Keyring::parse(&padded(MAX_KEYRING_LEN + 1)).unwrap_err();
        assert_eq!(error, KeyringError::TooLong);
    }

    #[test]
    fn no_error_holds_a_part_of_a_key() {
        // The key stands where another field belongs, as after a wrong paste.
        let misplaced = [
            DOCUMENT.replace("6f1c0a4be2d94f1a8b7de06b5a0c9e31", KEY),
            DOCUMENT.replace("9d3f5a1c7b2e4860", KEY),
            DOCUMENT.replace("2026-01-31T12:00:00Z", KEY),
            DOCUMENT.replace(r#""version":1"#, &format!(r#""version":"{KEY}""#)),
            DOCUMENT.replace(r#""version":1"#, &format!(r#""version":1,"{KEY}":1"#)),
            DOCUMENT.replace("[{", &format!("\"{KEY}\",[{{")),
            DOCUMENT.replace("BwcH", "Bwc"),
            DOCUMENT.replace("BwcH", "\\Bwc"),
            KEY.to_owned(),
            format!("\"{KEY}\""),
        ];
        for text in misplaced {
            let error = Keyring::parse(&text).unwrap_err();
            let told = format!("{error} {error:?} {error:#?}");
            assert!(!told.contains("Bwc"), "{told}");
        }
    }

    fn with_second(fields: &str) -> String {
        DOCUMENT.replace("}]}", &format!("}},{{{fields}}}]}}"))
    }

    fn with_keys(count: u8) -> String {
        let key = |index: u8| {
            let key = Keyring::import(&[index; 32], Timestamp::UNIX_EPOCH).unwrap();
            let key = key.export_primary();
            let key = key.as_str();
            format!(r#"{{"id":"{index:016x}","key":"{key}","created":"2026-01-31T12:00:00Z"}}"#)
        };
        let keys: Vec<_> = (0..count).map(key).collect();
        let keys = keys.join(",");
        let id = "0".repeat(32);
        format!(
            r#"{{"version":1,"id":"{id}","primary":"{:016x}","keys":[{keys}]}}"#,
            0
        )
    }

    const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    const DOCUMENT: &str = concat!(
        r#"{"version":1,"id":"6f1c0a4be2d94f1a8b7de06b5a0c9e31","primary":"9d3f5a1c7b2e4860","#,
        r#""keys":[{"id":"9d3f5a1c7b2e4860","key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","#,
        r#""created":"2026-01-31T12:00:00Z"}]}"#
    );
}
