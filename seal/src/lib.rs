//! What sealing does to a `SecretVault` manifest: every plain value becomes an envelope, in place.
//!
//! This is the decision that the operator's admission webhook and the standalone program share. It
//! has three steps, so that the caller can do the asynchronous part between them:
//!
//! 1. [`examine()`] compares the incoming manifest with the stored object and says what is needed:
//!    which data key ([`KeyNeed`]) and which rights of the requester ([`Rights`]).
//! 2. The caller checks the rights; [`Examined::key`] fetches the key from the caller's
//!    [`KeyProviders`].
//! 3. [`Examined::seal`] answers with the [`Change`]s that make the manifest fit to be stored.
//!
//! # Guarantees
//! * The changes leave no plain value in `spec.data`, in `spec.binaryData` or in the annotations.
//! * A value that is already stored as an envelope of the same plaintext keeps that envelope, byte
//!   for byte, so that applying a manifest twice changes nothing (unless `freshEnvelopes`).
//! * Nothing foreign gets in: an incoming envelope must open under this vault's data key and for
//!   this entry; an incoming wrapped data key must be the stored one, or name this very vault.
//! * No error and no `Debug` holds a value.

mod annotations;
mod entries;
mod examine;
mod keys;
mod refusal;
mod sealing;
mod size;

pub use examine::{Examined, KeyNeed, Manifest, Rights, examine};
pub use keys::{KeyProvider, KeyProviders, NoKey, NoRandomness, WrappedKey};
pub use refusal::Refusal;
pub use sealing::{Change, OpenedKey};

#[cfg(test)]
mod tests;
