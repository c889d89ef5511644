//! Pure decisions about vaults: names, access, what a consumer asks for, what it gets.
//!
//! The modules stand in the order of the story: a name is checked, a vault is made of names, a pod
//! may or may not have its entries, somebody may or may not write them, the pod asks, and one plan
//! says what its volume must hold.
//! Nothing here does anything: no client, no clock, no randomness, no plaintext, no key.

pub mod names;
pub mod pattern;
pub mod selector;

pub mod effort;

mod layout;

pub mod vault;

pub mod access;

pub mod editors;

mod yaml;

pub mod placeholders;

pub mod request;

pub mod plan;

pub mod explain;

pub mod variables;

pub use access::{
    AccessRule, Condition, NamespaceRule, Never, Subject, admits, allows, labels_of_name,
    needs_namespace_labels, never, rule_for, selects_namespaces,
};
pub use editors::{
    AccountPattern, Edit, EditVerb, Editor, EditorRule, Written, check_removal, edits, uncovered,
};
pub use explain::{ExplainedEntry, ExplainedVault, Explanation, Outcome, Unmet, explain};
pub use names::{EntryName, FileMode, FilePath, OnDelete, VaultRef};
pub use pattern::{EntryPattern, NamePattern};
pub use placeholders::{PlaceholderError, PodFacts, resolve, resolve_items};
pub use plan::{
    Held, HeldFile, HeldVault, Notice, Overridden, Plan, PlannedFile, Refusal, plan, withdrawn,
};
pub use request::{Item, ItemPattern, Request, RequestError, RequestedVault};
pub use selector::{LabelSelector, Operator, Requirement};
pub use variables::{VariableError, variables};
pub use vault::{Collision, EntryKind, FileAttributes, FileRule, Vault};
pub use yaml::YamlError;
