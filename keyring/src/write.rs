//! Writing a keyring.

use zeroize::Zeroizing;

use crate::Keyring;
use crate::key::{Key, push_key};
use crate::parse::VERSION;

impl Keyring {
    /// Returns the keyring as JSON, the primary key first, with a final line's end.
    pub fn to_json(&self) -> Zeroizing<String> {
        let room = HEAD_ROOM + KEY_ROOM * self.keys().count();
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(&format!(
            "{{\n  \"version\": {VERSION},\n  \"id\": \"{}\",\n  \"primary\": \"{}\",\n  \"keys\": [",
            self.id(),
            self.primary_id(),
        ));
        for (index, key) in self.keys().enumerate() {
            text.push_str(if index == 0 { "\n    " } else { ",\n    " });
            push_entry(&mut text, key);
        }
        text.push_str("\n  ]\n}\n");
        text
    }
}

fn push_entry(text: &mut Zeroizing<String>, key: &Key) {
    text.push_str(&format!("{{\"id\": \"{}\", \"key\": \"", key.id));
    push_key(text, &key.secret);
    text.push_str(&format!("\", \"created\": \"{}\"}}", key.created));
}

/// Bytes of the text without its keys, and of one key, or more: text that holds keys never grows.
const HEAD_ROOM: usize = 160;
const KEY_ROOM: usize = 160;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_keyring_is_written_as_specified() {
        let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let mut keyring = Keyring::import_base64(key, now).unwrap();
        keyring.id = "6f1c0a4be2d94f1a8b7de06b5a0c9e31".to_owned();
        keyring.primary.id = "9d3f5a1c7b2e4860".parse().unwrap();
        assert_eq!(
            keyring.to_json().as_str(),
            r#"{
  "version": 1,
  "id": "6f1c0a4be2d94f1a8b7de06b5a0c9e31",
  "primary": "9d3f5a1c7b2e4860",
  "keys": [
    {"id": "9d3f5a1c7b2e4860", "key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "created": "2026-01-31T12:00:00Z"}
  ]
}
"#
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let keyring = with_keys(3);
        let read = Keyring::parse(&keyring.to_json()).unwrap();
        assert_eq!(read.to_json(), keyring.to_json());
    }

    #[test]
    fn text_that_holds_keys_never_grows() {
        for count in [1, 2, 64] {
            let text = with_keys(count).to_json();
            assert_eq!(text.capacity(), HEAD_ROOM + KEY_ROOM * count);
            assert!(text.len() <= text.capacity());
        }
    }

    #[test]
    fn a_full_keyring_is_within_the_limit_of_reading() {
        assert!(Keyring::parse(&with_keys(crate::MAX_KEYS).to_json()).is_ok());
    }

    fn with_keys(count: usize) -> Keyring {
        let longest: Timestamp = "2026-01-31T12:00:00.123456789Z".parse().unwrap();
        let mut keyring = Keyring::generate(longest).unwrap();
        let others = (1..count).map(|_| Keyring::generate(longest).unwrap().primary);
        keyring.others = others.collect();
        keyring
    }
}
