//! Path variables in `items`: `users/${pod.serviceAccountName}/token`.
//!
//! What stands for a placeholder is what the caller has verified, never what the text's author
//! says. A value may be a part of one segment of a name and nothing more: with a `/`, a `*` or a
//! `..` it would choose other entries than the author of the text meant.
//!
//! In a pod these are `${pod.name}`, `${pod.namespace}`, `${pod.serviceAccountName}`,
//! `${node.name}` and `${pod.labels['KEY']}`. A label, like the pod's name, is the choice of whoever
//! creates the pod: it selects among the entries that the pod may have, and gives no right to any.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{names::shown, request::MAX_TEXT};

/// Why a text with placeholders is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlaceholderError {
    /// A label that the pod does not have.
    #[error(
        "items: the pod has no label {key:?}: give it one, or correct ${{pod.labels['{key}']}}"
    )]
    NoLabel {
        /// The label's key, shortened.
        key: String,
    },
    /// A value that is no part of a segment of a name.
    #[error("items: ${{{name}}} is {value:?} here, which cannot be a part of an entry's name")]
    NoSegment {
        /// The placeholder, shortened.
        name: String,
        /// Its value, shortened.
        value: String,
    },
    /// A value that comes later, such as the node of a pod that has none yet.
    #[error("items: ${{{name}}} is not known yet")]
    NotYet {
        /// The placeholder.
        name: String,
    },
    /// The values make more of the text than `items` may be.
    #[error(
        "items: more than {MAX_TEXT} bytes with the values of its path variables: use patterns"
    )]
    TooLong,
    /// A `${` without a `}`.
    #[error("items: a ${{ without a }}: close it, or take it out")]
    Unclosed,
    /// A placeholder that has no value here.
    #[error("items: there is no ${{{name}}} here: {known}")]
    Unknown {
        /// The placeholder.
        name: String,
        /// What there is.
        known: String,
    },
}

/// What is known, and verified, of a pod.
#[derive(Clone, Copy, Debug)]
pub struct PodFacts<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name; none: it gets one later.
    pub name: Option<&'a str>,
    /// Its service account.
    pub service_account: &'a str,
    /// Its node; none: it is not scheduled yet.
    pub node: Option<&'a str>,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// Puts a pod's values in the place of `${…}` in `items`.
///
/// # Errors
/// A placeholder has no value, none yet, or one that is not a part of a segment; or the text grows
/// too long.
pub fn resolve_items(text: &str, pod: &PodFacts<'_>) -> Result<String, PlaceholderError> {
    fill(text, |name| pod.value(name))
}

/// Puts values in the place of `${…}`.
///
/// # Errors
/// A placeholder has no value, or one that is not a part of a segment; or the text grows too long.
pub fn resolve(text: &str, values: &[(&str, &str)]) -> Result<String, PlaceholderError> {
    let names = || values.iter().map(|(name, _)| *name);
    fill(text, |name| {
        let found = values.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| unknown(name, names()))
    })
}

impl<'a> PodFacts<'a> {
    fn value(&self, name: &str) -> Result<&'a str, PlaceholderError> {
        if let Some(key) = label(name) {
            let value = self.labels.get(key).map(String::as_str);
            return value.ok_or_else(|| PlaceholderError::NoLabel { key: shown(key) });
        }
        let known = match name {
            NODE_NAME => self.node,
            POD_NAME => self.name,
            POD_NAMESPACE => Some(self.namespace),
            POD_SERVICE_ACCOUNT => Some(self.service_account),
            _ => return Err(unknown(name, OF_A_POD)),
        };
        known.ok_or_else(|| PlaceholderError::NotYet {
            name: name.to_owned(),
        })
    }
}

/// The key in `pod.labels['KEY']`. What is no such key is no label of any pod.
fn label(name: &str) -> Option<&str> {
    name.strip_prefix("pod.labels['")?.strip_suffix("']")
}

fn fill<'a>(
    text: &str,
    value: impl Fn(&str) -> Result<&'a str, PlaceholderError>,
) -> Result<String, PlaceholderError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or(PlaceholderError::Unclosed)?;
        filled.push_str(before);
        filled.push_str(segment(name, value(name)?)?);
        // A short placeholder may stand for a long value, and there may be thousands of them.
        if filled.len() > MAX_TEXT {
            return Err(PlaceholderError::TooLong);
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn segment<'a>(name: &str, value: &'a str) -> Result<&'a str, PlaceholderError> {
    if is_segment(value) {
        return Ok(value);
    }
    Err(PlaceholderError::NoSegment {
        name: shown(name),
        value: shown(value),
    })
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> PlaceholderError {
    let names: Vec<String> = known
        .into_iter()
        .map(|name| format!("${{{name}}}"))
        .collect();
    let known = if names.is_empty() {
        "nothing can be filled in".to_owned()
    } else {
        format!("there is {}", names.join(", "))
    };
    PlaceholderError::Unknown {
        name: shown(name),
        known,
    }
}

/// Part of one segment of an entry's name, and not the start of one that leaves the volume.
fn is_segment(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !value.is_empty() && value.bytes().all(allowed) && !value.contains("..")
}

const NODE_NAME: &str = "node.name";
const POD_NAME: &str = "pod.name";
const POD_NAMESPACE: &str = "pod.namespace";
const POD_SERVICE_ACCOUNT: &str = "pod.serviceAccountName";

/// What can be filled in for a pod, as a person would write it.
const OF_A_POD: [&str; 5] = [
    POD_NAME,
    POD_NAMESPACE,
    POD_SERVICE_ACCOUNT,
    NODE_NAME,
    "pod.labels['KEY']",
];
