//! The commands that change the store.
//!
//! # Guarantees
//! Each reads, decides and writes under the store's lock. A vault is written whole or not at all;
//! of several vaults, those before an error are stored, and are named.

mod apply;
mod entry;
mod import;
mod manifests;
mod rotate;
mod vaults;

pub use apply::{apply, diff};
pub use entry::{remove, set};
pub use import::import;
pub use rotate::rotate;
pub use vaults::{create, delete, init};

pub(crate) use manifests::{Source, read_manifests};

use std::io::{self, Write};

/// Says what became of a vault, as kubectl does. What is done is done, whether or not somebody
/// listens.
fn say(vault: &secretvault_vault::VaultRef, word: &str) {
    let _ = writeln!(io::stdout(), "vault {vault} {word}");
}

/// Says what one should know, and is no answer.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "secretvault: {text}");
}
