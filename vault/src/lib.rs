//! Pure decisions about vaults: names, access, what a consumer asks for, what it gets.
//!
//! The modules stand in the order of the story: a name is checked, a vault is made of names, a pod
//! may or may not have its entries, the pod asks, and one plan says what its volume must hold.
//! Nothing here does anything: no client, no clock, no randomness, no plaintext, no key.

pub mod names;
pub mod pattern;
pub mod selector;
pub mod vault;

pub mod access;

pub use access::{AccessRule, Subject, allows, rule_for};
pub use names::{EntryName, FileMode, FilePath, OnDelete, VaultRef};
pub use pattern::{EntryPattern, NamePattern};
pub use selector::{LabelSelector, Operator, Requirement};
pub use vault::{EntryKind, FileAttributes, FileRule, Vault};
