//! Who may write which entry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    limits::{MAX_ALTERNATIVES, MAX_DESCRIPTION, MAX_SUBJECT},
    rules,
};

/// One rule: those that it names may do what its verbs say to the entries that it covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::editor()))]
#[serde(rename_all = "camelCase")]
pub struct EditorRule {
    /// What the rule is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_DESCRIPTION))]
    pub description: Option<String>,
    /// Users that the rule is for, by the names that the API server knows them by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(length(min = 1, max = MAX_SUBJECT))
    )]
    pub users: Option<Vec<String>>,
    /// Groups that the rule is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(length(min = 1, max = MAX_SUBJECT))
    )]
    pub groups: Option<Vec<String>>,
    /// Service accounts that the rule is for: "name" of the vault's own namespace, or
    /// "namespace/name". In the name, "*" stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(
            length(min = 1, max = 317),
            regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[-a-z0-9.*]+$")
        )
    )]
    pub service_accounts: Option<Vec<String>>,
    /// What they may do to the entries: create, update, delete.
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub verbs: Vec<EditVerb>,
    /// Entries that they may do it to: names, or patterns in which "*" stands for any characters
    /// within a segment and a segment "**" for any number of segments. Absent: every entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(length(min = 1, max = 253), regex(pattern = "^[-A-Za-z0-9._*]+(/[-A-Za-z0-9._*]+)*$"))
    )]
    pub entries: Option<Vec<String>>,
}

/// What one may do to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EditVerb {
    /// Add it, where it was not there.
    Create,
    /// Take it away.
    Delete,
    /// Change its value, its kind, or how it lands as a file.
    Update,
}
