//! The local key provider: a keyring of 256-bit keys, one of which wraps new data keys.
//!
//! This text is the format's specification. It uses the notation and the salted box of
//! [`secretvault_envelope`], whose documentation specifies them.
//! `tests/vectors/keyring-v1.json` freezes it.
//!
//! # The keyring
//!
//! A JSON document (RFC 8259):
//!
//! ```json
//! {
//!   "version": 1,
//!   "id": "6f1c0a4be2d94f1a8b7de06b5a0c9e31",
//!   "primary": "9d3f5a1c7b2e4860",
//!   "keys": [
//!     {"id": "9d3f5a1c7b2e4860", "key": "<32 bytes as base64>", "created": "2026-01-31T12:00:00Z"}
//!   ]
//! }
//! ```
//!
//! | field | what it is |
//! |---|---|
//! | `version` | 1 |
//! | `id` | the keyring's own id, 32 lower-case hexadecimal digits: the *scope* of what it wraps |
//! | `primary` | the id of the key that wraps; the others unwrap only |
//! | `keys[].id` | the key's id, 16 lower-case hexadecimal digits |
//! | `keys[].key` | 32 random bytes as base64 of RFC 4648 §4: 44 characters with the `=`, canonical |
//! | `keys[].created` | when the key was made, RFC 3339 |
//!
//! A keyring is refused, naming the field and never its content, unless all of this holds:
//!
//! | what | the accident or attack it stops |
//! |---|---|
//! | every field above once, and no other | a misspelled field that is silently not used |
//! | exact lengths, one spelling | a key cut by a copy and paste; two spellings of one id |
//! | no backslash anywhere | an escaped key, which a JSON parser unescapes into memory that is not wiped |
//! | at most 64 KiB ([`MAX_KEYRING_LEN`]) and 64 keys ([`MAX_KEYS`]) | memory and time spent before anything is checked |
//! | at least one key; `primary` among the keys | a keyring that unwraps but cannot wrap |
//! | all ids different, all keys different | a rotation that rotates nothing; an id that means two keys |
//!
//! # Making one by hand
//!
//! ```sh
//! id=$(openssl rand -hex 16) key_id=$(openssl rand -hex 8) created=$(date -u +%Y-%m-%dT%H:%M:%SZ)
//! printf '{"version":1,"id":"%s","primary":"%s","keys":[{"id":"%s","key":"%s","created":"%s"}]}\n' \
//!   "$id" "$key_id" "$key_id" "$(openssl rand -base64 32)" "$created" > keyring
//! ```
//!
//! To rotate, add a second object to `keys` and name its id in `primary`. Take a key out only when
//! nothing is wrapped with it any more: what it wrapped is lost with it.
//!
//! Back up the whole document. A key alone does not unwrap: the ids take part in the wrapping.
//!
//! # Local wrap
//!
//! ```text
//! context = "secretvault/local-wrap/v1" ‖ lp(keyring id) ‖ lp(key id)
//! wrapped = base64url(salted box of the payload, root key = the key of this id)
//! ```
//!
//! The ids are taken as the document spells them. The key's id is kept beside the wrapped text
//! and is not secret. Unwrapping refuses another keyring's or key's text, text that is not
//! canonical base64url, and payloads above 4 KiB ([`MAX_PAYLOAD_LEN`]): a vault's data key payload
//! is at most a quarter of it, and whoever applies must not choose how much is decrypted.
//!
//! # Guarantees
//!
//! Keys are wiped on drop, and so is the text that [`Keyring::to_json`] makes. No error and no
//! `Debug` holds a part of a key.
//!
//! # Assumptions
//!
//! The caller wipes the text that it gives to [`Keyring::parse`].

mod key;
mod keyring;
mod parse;
mod wrap;
mod write;

#[cfg(test)]
mod vectors;

pub use key::{InvalidKeyId, InvalidKeyText, KeyId};
pub use keyring::{ImportError, Keyring, RetireError, RotateError};
pub use parse::{KeyringError, MAX_KEYRING_LEN, MAX_KEYS};
pub use wrap::{MAX_PAYLOAD_LEN, UnwrapError, WrapError, Wrapped};
