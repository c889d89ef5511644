//! Path variables in `items`: `users/${user.name}/token`.
//!
//! What stands for a placeholder is what the caller has verified, never what the text's author
//! says. A value may be one segment of a name and nothing more: with a `/`, a `*` or as `..` it
//! would choose other entries than the author of the text meant.

use thiserror::Error;

use crate::names::shown;

/// Why a text with placeholders is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlaceholderError {
    /// A value that is no single segment of a name.
    #[error("items: ${{{name}}} is {value:?} here, which cannot be a part of an entry's name")]
    NoSegment {
        /// The placeholder.
        name: String,
        /// Its value, shortened.
        value: String,
    },
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

/// Puts values in the place of `${…}`.
///
/// # Errors
/// A placeholder has no value, or one that is not a single segment.
pub fn resolve(text: &str, values: &[(&str, &str)]) -> Result<String, PlaceholderError> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or(PlaceholderError::Unclosed)?;
        resolved.push_str(before);
        resolved.push_str(value(name, values)?);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn value<'a>(name: &str, values: &[(&str, &'a str)]) -> Result<&'a str, PlaceholderError> {
    let found = values.iter().find(|(known, _)| *known == name);
    let (_, value) = found.ok_or_else(|| PlaceholderError::Unknown {
        name: shown(name),
        known: known(values),
    })?;
    if is_segment(value) {
        return Ok(value);
    }
    Err(PlaceholderError::NoSegment {
        name: name.to_owned(),
        value: shown(value),
    })
}

fn known(values: &[(&str, &str)]) -> String {
    let names: Vec<String> = values
        .iter()
        .map(|(name, _)| format!("${{{name}}}"))
        .collect();
    if names.is_empty() {
        return "nothing can be filled in".to_owned();
    }
    format!("there is {}", names.join(", "))
}

/// Part of one segment of an entry's name, and not the start of one that leaves the volume.
fn is_segment(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !value.is_empty() && value.bytes().all(allowed) && !value.contains("..")
}
