//! YAML, behind one door: the only module that names the YAML library.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Where a text stopped being what was expected. What was found there is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}")]
pub struct YamlError {
    /// The line, from 1; 0 if unknown.
    pub line: u64,
    /// The column, from 1; 0 if unknown.
    pub column: u64,
}

/// Tells a list from a text in short form: it starts with `[`, or with a dash that is not the start
/// of a name.
pub(crate) fn is_list(text: &str) -> bool {
    let after_dash = text.strip_prefix('-').map(|rest| rest.chars().next());
    text.starts_with('[') || matches!(after_dash, Some(None | Some(' ' | '\t' | '\n' | '\r')))
}

/// Reads one document.
///
/// Anchors, aliases and merge keys are refused: a short text must not become a long list.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_depth: MAX_DEPTH,
            max_documents: 1,
        },
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let location = error.location();
        YamlError {
            line: location.map_or(0, |location| location.line()),
            column: location.map_or(0, |location| location.column()),
        }
    })
}

/// A list of mappings of scalars, and one to spare.
const MAX_DEPTH: usize = 4;
