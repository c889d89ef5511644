//! The kinds of SecretVault, as the API server stores them: wire types, limits, and the rules that
//! the API server enforces by itself.
//!
//! The generated CustomResourceDefinitions are committed in `crds/generated/`; a test compares them
//! with the code.

pub mod api;
pub mod generate;
pub mod limits;

mod access;
mod data_key;
mod editors;
mod entries;
mod files;
mod key_provider;
mod parse;
mod resource;
mod rules;
mod secret_text;
mod secret_vault;
mod span;
mod vault_transit;

pub use access::{AccessRule, LabelExpression, LabelOperator, LabelSelector, NamespaceRule};
pub use data_key::{DataKey, Resealed};
pub use editors::{EditVerb, EditorRule};
pub use entries::whole_second;
pub use files::{FileDefaults, FileRule};
pub use key_provider::{
    AllowedNamespaces, KeyProvider, KeyProviderSpec, KeyProviderStatus, KeyStatus, KeyringFile,
    KeyringSecret, KeyringSource, LocalProvider, RewrapFailure, RewrapStatus,
};
pub use parse::{ParseError, Problem, parse_access};
pub use secret_text::SecretText;
pub use secret_vault::{
    ConsumerStatus, EntryKind, EntryStatus, OnDelete, SecretVault, SecretVaultDefinition,
    SecretVaultSpec, SecretVaultStatus, StaleReason,
};
pub use span::{InvalidSpan, Span};
pub use vault_transit::{
    AppRoleAuth, CredentialSecret, CredentialSource, KubernetesAuth, TransitAuth, VaultTransit,
};
