//! The sealing format: how a value is stored so that only its own vault's entry gives it back.
//!
//! This text is the format's specification. `tests/vectors/envelope-v1.json` freezes it, and
//! `tests/vectors/open_vectors.py` is a second implementation that was written from this text.
//!
//! # Notation
//!
//! * `‖` joins bytes. `u32(n)` is `n` as four bytes, big-endian.
//! * `lp(x)` = `u32(length of x) ‖ x`, for the UTF-8 bytes of a name. Without the lengths,
//!   namespace `a`, vault `bc` and namespace `ab`, vault `c` would be one binding.
//! * `base64url` is the alphabet of RFC 4648 §5, **without** padding and canonical: no `=`, no
//!   whitespace, no character of the standard alphabet (`+`, `/`), unused bits of the last
//!   character zero.
//! * HKDF-SHA256 is RFC 5869, extract then expand. AES-256-GCM is NIST SP 800-38D with a 96-bit
//!   nonce and a 128-bit tag, which follows the ciphertext.
//!
//! # Salted box
//!
//! The one construction under both formats. Given a 256-bit *root key* and a *context*:
//!
//! ```text
//! salt        = 32 random bytes
//! key ‖ nonce = HKDF-SHA256(ikm = root key, salt = salt, info = context, length = 32 + 12)
//! salted box  = salt ‖ AES-256-GCM(key, nonce, plaintext, associated data = context) ‖ tag[16]
//! ```
//!
//! A root key never encrypts by itself: each box has its own key and nonce, so that the number of
//! boxes under one root key is not bounded by the 96 bits of a nonce, and to tell the key of one
//! box tells nothing of another.
//!
//! # Envelope
//!
//! Text that stands where the value stood. The root key is the vault's *data key* (DEK):
//!
//! ```text
//! context  = "secretvault/envelope/v1" ‖ lp(scope) ‖ lp(namespace) ‖ lp(vault) ‖ lp(entry)
//! padded   = u32(length of value) ‖ value ‖ zeros to the next multiple of 64
//! envelope = "sv1:" ‖ base64url(salted box of padded)
//! ```
//!
//! `scope` names the key provider's realm. The 44 bytes `key ‖ nonce` are the envelope's *entry
//! key*: what the operator releases to a node. It opens this one envelope, not the entry's next or
//! last value, for these have other salts.
//!
//! Opening refuses, and says only that it does not open:
//!
//! | what | the attack it stops |
//! |---|---|
//! | any prefix but `sv1:` | a later version read by this version's rules |
//! | text that is not canonical base64url | two texts for one envelope: "byte-equal to the stored one" is how a forged or restored envelope is told apart |
//! | a value above 512 KiB ([`MAX_VALUE_LEN`]), thus text above 699,204 bytes ([`MAX_ENVELOPE_LEN`]), before anything is allocated | memory exhaustion by a person who may only apply |
//! | a box that is not 48 bytes and a positive multiple of 64 | truncation; and lengths that no sealer makes |
//! | another scope, namespace, vault or entry | moving an envelope to where the attacker may read |
//! | a length that does not leave the shortest possible padding | a second form for one value |
//! | padding that is not zero | a covert channel past whoever reviews the value |
//!
//! Padding to steps of 64 hides a value's length within a step: an empty value, a PIN and a
//! password of 60 bytes look alike.
//!
//! # Data key payload
//!
//! What a key provider wraps: a data key that says whose it is.
//!
//! ```text
//! payload = "SVDK" ‖ 0x01 ‖ lp(scope) ‖ lp(namespace) ‖ lp(vault) ‖ data key id[16] ‖ data key[32]
//! ```
//!
//! Decoding takes the vault and the id that the *object* claims, and refuses every payload that is
//! not byte for byte this prefix and 32 more bytes: another magic, version, vault or id, a
//! missing or a trailing byte. It stops a person who pastes another vault's wrapped key under a
//! vault of their own. The names stand in the payload and not in the provider's associated data
//! because Vault Transit cannot rewrap a ciphertext that was made with such data.
//!
//! # Guarantees
//!
//! Types that hold a key or a value show nothing in `Debug`, are wiped on drop and are not
//! `Clone`. Buffers on the heap that hold either are allocated at their final size and wiped.
//!
//! # Caveats
//!
//! What the cryptographic crates leave on the stack is overwritten after each operation, but not
//! what the compiler may have copied elsewhere, nor registers. A [`Binding`]'s part is shorter than 4 GiB: what comes from the API server is a thousand times
//! shorter.

mod binding;
mod dek;
mod key;
mod open;
mod payload;
mod plaintext;
mod random;
mod salted;
mod seal;
mod text;

#[cfg(test)]
mod vectors;

pub use binding::{Binding, VaultBinding, context};
pub use dek::{Dek, DekId, InvalidDekId};
pub use key::{EntryKey, EntryKeyLength, RootKey};
pub use open::OpenError;
pub use payload::DataKeyPayload;
pub use plaintext::Plaintext;
pub use random::RandomError;
pub use salted::{NotCanonical, SaltedBox};
pub use seal::{MAX_VALUE_LEN, SealError};
pub use text::{Envelope, InvalidEnvelope, MAX_ENVELOPE_LEN, looks_sealed};
