//! Label selectors, with Kubernetes' semantics.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::names::{is_label_key, is_label_value, shown};

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

    /// Why no labels that an object can have fulfil the conditions; none if some do.
    pub fn impossible(&self) -> Option<Impossible> {
        let expressions = self.match_expressions.iter().map(|it| it.key.as_str());
        let keys = self.match_labels.keys().map(String::as_str);
        let keys: BTreeSet<&str> = keys.chain(expressions).collect();
        // Conditions on different labels do not touch each other.
        keys.into_iter().find_map(|key| self.of_label(key))
    }

    fn of_label(&self, key: &str) -> Option<Impossible> {
        let mut wanted = Wanted::default();
        if let Some(value) = self.match_labels.get(key) {
            wanted.restrict([value]);
        }
        for requirement in self.match_expressions.iter().filter(|it| it.key == key) {
            match requirement.operator {
                Operator::DoesNotExist => wanted.absent = true,
                Operator::Exists => wanted.present = true,
                Operator::In => wanted.restrict(&requirement.values),
                Operator::NotIn => wanted.other_than.extend(&requirement.values),
            }
        }
        wanted.impossible(key)
    }
}

/// What several conditions want of one label.
#[derive(Default)]
struct Wanted<'a> {
    absent: bool,
    present: bool,
    one_of: Option<BTreeSet<&'a String>>,
    other_than: BTreeSet<&'a String>,
}

impl<'a> Wanted<'a> {
    fn restrict(&mut self, values: impl IntoIterator<Item = &'a String>) {
        let values: BTreeSet<_> = values.into_iter().collect();
        self.present = true;
        self.one_of = Some(match self.one_of.take() {
            None => values,
            Some(others) => others.intersection(&values).copied().collect(),
        });
    }

    fn impossible(&self, key: &str) -> Option<Impossible> {
        let label = || shown(key);
        if !self.present {
            return None;
        }
        if !is_label_key(key) {
            return Some(Impossible::Key { label: label() });
        }
        let Some(values) = &self.one_of else {
            return self
                .absent
                .then(|| Impossible::Contradiction { label: label() });
        };
        let mut left = values.difference(&self.other_than).peekable();
        if self.absent || left.peek().is_none() {
            return Some(Impossible::Contradiction { label: label() });
        }
        let possible = left.any(|value| is_label_value(value));
        (!possible).then(|| Impossible::Value { label: label() })
    }
}

/// Why no labels fulfil a selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Impossible {
    /// What it wants of one label excludes itself.
    #[error("its conditions on the label {label:?} contradict each other")]
    Contradiction {
        /// The label, shortened.
        label: String,
    },
    /// A label that must be there, and cannot be.
    #[error("nothing can have a label {label:?}")]
    Key {
        /// The label, shortened.
        label: String,
    },
    /// A label that must have a value that no label can have.
    #[error("no label {label:?} can have such a value")]
    Value {
        /// The label, shortened.
        label: String,
    },
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
