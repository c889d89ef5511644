//! Label selectors, with Kubernetes' semantics.

use std::collections::BTreeMap;

/// Conditions on an object's labels, all of which must hold. None at all: every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Labels that must be there with exactly these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    pub match_expressions: Vec<Requirement>,
}

impl LabelSelector {
    /// Tells whether the labels fulfil every condition.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.matches(labels))
    }
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must be true of it.
    pub operator: Operator,
    /// The values that `In` and `NotIn` speak of; the others have none.
    pub values: Vec<String>,
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::DoesNotExist => value.is_none(),
            Operator::Exists => value.is_some(),
            Operator::In => listed,
            Operator::NotIn => !listed,
        }
    }
}

/// What a [`Requirement`] asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label is absent.
    DoesNotExist,
    /// The label is there, with whatever value.
    Exists,
    /// The label is there, with one of the values.
    In,
    /// The label is absent, or has none of the values.
    NotIn,
}
