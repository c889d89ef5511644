//! Who may have what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    limits::{MAX_ALTERNATIVES, MAX_DESCRIPTION, MAX_SELECTOR_TERMS},
    rules,
};

/// One rule: a pod may have an entry if every condition that the rule states holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// What the rule is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_DESCRIPTION))]
    pub description: Option<String>,
    /// Service accounts, one of which the pod must run as. "*" stands for any characters.
    /// Absent: every service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(length(min = 1, max = 253), regex(pattern = "^[-a-z0-9.*]+$"))
    )]
    pub service_accounts: Option<Vec<String>>,
    /// The namespace that the pod must be in, by name, by label, or both. Absent: the vault's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceRule>,
    /// Labels that the pod must have. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Entries that the rule is about: names, or patterns in which "*" stands for any characters
    /// within a segment and a segment "**" for any number of segments. Absent: every entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(length(min = 1, max = 253), regex(pattern = "^[-A-Za-z0-9._*]+(/[-A-Za-z0-9._*]+)*$"))
    )]
    pub entries: Option<Vec<String>>,
}

/// The namespaces that a rule is about. If both conditions are given, both must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::namespaces()))]
#[serde(rename_all = "camelCase")]
pub struct NamespaceRule {
    /// Namespaces by name. The vault's own is among them only if it is named too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = MAX_ALTERNATIVES),
        inner(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub names: Option<Vec<String>>,
    /// Labels that the namespace must have: the vault's own too. Whoever may label namespaces decides
    /// who has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::namespace_selector()))]
    pub selector: Option<LabelSelector>,
}

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must be there, with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_SELECTOR_TERMS,
        "additionalProperties" = { "type": "string", "maxLength": 63 }
    ))]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_SELECTOR_TERMS))]
    pub match_expressions: Vec<LabelExpression>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::label_expression()))]
#[serde(rename_all = "camelCase")]
pub struct LabelExpression {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// What must be true of the label: In, NotIn, Exists or DoesNotExist.
    pub operator: LabelOperator,
    /// The values that In and NotIn speak of; empty for the other two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ALTERNATIVES), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// What a condition asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label is not there.
    DoesNotExist,
    /// The label is there.
    Exists,
    /// The label is there with one of the values.
    In,
    /// The label is not there, or has another value.
    NotIn,
}
