//! What sealing does to a `SecretVault` manifest: every plain value becomes an envelope, in place.
//!
//! This is the decision that the operator's admission webhook and the standalone program share. It
//! has these steps, so that the caller can do the asynchronous part between them:
//!
//! 1. [`needs_provider`] says whether the caller has to find out which key provider the vault should
//!    have: see [`Wish`].
//! 2. [`examine()`] compares the incoming manifest with the stored object and says what is needed:
//!    which data key ([`KeyNeed`]) and which rights of the requester ([`Rights`]).
//! 3. The caller checks the rights, that the vault's editors let the requester write what he writes
//!    ([`check_editor`]), and that the provider is one for this namespace ([`Examined::judged_provider`]); [`Examined::key`] fetches the key from the caller's
//!    [`KeyProviders`].
//! 4. [`Examined::seal`] answers with the [`Change`]s that make the manifest fit to be stored.
//!
//! # New keys
//! * *Rewrap*: the operator brings the same data key, wrapped by a newer key of the same provider. It
//!   takes the stored one's place; envelopes stay. Anybody else's is compared, and the stored one
//!   stays.
//! * *Reseal*: `spec.dataKey.rekey` was raised, or `spec.keyProvider` was changed in this request to
//!   another provider than the one that wraps. The vault gets a new data key of the provider that it
//!   should have, and every value a new envelope, in this one request. Values that come plain in it
//!   are sealed with what they are now. If none changed, nor how they land, `dataKey.resealed` says
//!   so: the content is the same to pods.
//!
//! # Guarantees
//! * The changes leave no plain value in `spec.data`, in `spec.binaryData` or in the annotations.
//! * A value that is already stored as an envelope of the same plaintext keeps that envelope, byte
//!   for byte, so that applying a manifest twice changes nothing (unless `freshEnvelopes`, or in a
//!   reseal).
//! * Nothing foreign gets in: an incoming envelope must open under this vault's data key and for
//!   this entry; an incoming wrapped data key must be the stored one, or name this very vault.
//! * A reseal is whole: if one stored envelope that it needs does not open, the request is refused.
//! * A reseal changes no value of an immutable vault.
//! * A request of the operator itself changes no value, and brings none in: see [`Wish::by_operator`].
//! * More entries than a vault can have are counted, and neither read nor searched for.
//! * No error and no `Debug` holds a value.

mod annotations;
mod editing;
mod entries;
mod examine;
mod keys;
mod need;
mod never;
mod refusal;
mod reseal;
mod sealing;
mod size;

pub use editing::{Edits, NoEditor, check_editor, check_remover, edits};
pub use examine::{Examined, Manifest, Rights, examine};
pub use keys::{KeyProvider, KeyProviders, NoKey, NoRandomness, WrappedKey};
pub use need::{KeyNeed, Wish, needs_provider};
pub use never::never_matching;
pub use refusal::Refusal;
pub use sealing::{Change, OpenedKey};

#[cfg(test)]
mod tests;
