//! YAML of this machine's user: the one place that reads and writes it.
//!
//! # Guarantees
//! No error quotes what it read: only where it stands, and which field it is.

mod tree;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::{KIND, Object, api_version};
use tree::{Node, Step, Tree, plain, steps};

/// Why a text is not what it should be: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct YamlError {
    /// The line, from 1; 0 if unknown.
    pub line: u64,
    /// The column, from 1; 0 if unknown.
    pub column: u64,
    /// What is wrong, with the field.
    pub problem: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(&self.problem)
    }
}

/// One document of a manifest, and where its fields stand.
pub struct Document {
    /// What it says.
    pub value: Value,
    tree: Tree,
}

impl Document {
    /// The line of a field, such as `spec.files[2].mode`; or of what it is in, as far as that is
    /// there.
    pub fn line_of(&self, field: &str) -> u64 {
        let mut at = &self.tree;
        for step in steps(field) {
            let next = match (&at.value, step) {
                (Node::List(items), Step::Index(index)) => items.get(index),
                (Node::Map(fields), Step::Name(name)) => fields.get(&name),
                (Node::Leaf(_) | Node::List(_) | Node::Map(_), _) => None,
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        at.referenced.line()
    }

    /// The documents that a list in this one holds.
    pub fn into_items(mut self, field: &str) -> Vec<Self> {
        let Node::Map(fields) = &mut self.tree.value else {
            return Vec::new();
        };
        let Some(Node::List(items)) = fields.remove(field).map(|tree| tree.value) else {
            return Vec::new();
        };
        let items = items.into_iter();
        items
            .map(|tree| Self {
                value: plain(&tree.value),
                tree,
            })
            .collect()
    }

    /// An error about a field.
    pub fn error(&self, field: &str, problem: impl fmt::Display) -> YamlError {
        YamlError {
            line: self.line_of(field),
            column: 0,
            problem: format!("{field}: {problem}"),
        }
    }
}

/// Reads every document of a text. Empty ones are passed over.
///
/// # Errors
/// The text is no YAML, or uses what it must not: anchors, aliases, merge keys.
pub fn read_documents(text: &[u8]) -> Result<Vec<Document>, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_aliases: 0, max_anchors: 0, max_depth: MAX_DEPTH },
        strict_booleans: true,
        with_snippet: false,
    };
    let text = std::str::from_utf8(text).map_err(|_| YamlError {
        line: 0,
        column: 0,
        problem: "it is not UTF-8 text".to_owned(),
    })?;
    let read = serde_saphyr::from_multiple_with_options::<Tree>(text, options);
    let trees = read.map_err(|error| syntax(&error))?;
    let documents = trees.into_iter().map(|tree| Document {
        value: plain(&tree.value),
        tree,
    });
    Ok(documents
        .filter(|document| !document.value.is_null())
        .collect())
}

/// Reads the one object that a stored file holds.
///
/// # Errors
/// It is no object, or more than one.
pub fn read_object(text: &[u8]) -> Result<Object, YamlError> {
    let documents = read_documents(text)?;
    match documents.as_slice() {
        [document] => object(document),
        _ => Err(YamlError {
            line: 0,
            column: 0,
            problem: format!("it holds {} documents, and must hold one", documents.len()),
        }),
    }
}

/// Takes a document for an object.
///
/// # Errors
/// It is of another kind, or not an object.
pub fn object(document: &Document) -> Result<Object, YamlError> {
    for (field, expected) in [("apiVersion", api_version()), ("kind", KIND.to_owned())] {
        let found = document.value.get(field).and_then(Value::as_str);
        if found != Some(expected.as_str()) {
            return Err(document.error(field, format_args!("must be {expected}")));
        }
    }
    refuse_unknown(document)?;
    Object::deserialize(&document.value).map_err(|_| {
        // serde's message could quote a value.
        document.error("metadata", "does not fit an object's metadata")
    })
}

/// Writes an object.
///
/// # Errors
/// None that depends on what is in it.
pub fn write(value: &impl Serialize) -> Result<String, serde_saphyr::SerializeError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options)
}

/// A misspelt field would silently mean nothing.
fn refuse_unknown(document: &Document) -> Result<(), YamlError> {
    let mut names = document.value.as_object().into_iter().flatten();
    match names.find(|(name, _)| !TOP.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => {
            let meant = crate::nearest::nearest(name, TOP);
            let hint = meant.map_or_else(String::new, |it| format!(": did you mean {it}?"));
            Err(document.error(name, format_args!("there is no such field{hint}")))
        }
    }
}

fn syntax(error: &serde_saphyr::Error) -> YamlError {
    let location = error.location();
    YamlError {
        line: location.map_or(0, |location| location.line()),
        column: location.map_or(0, |location| location.column()),
        problem: "this is not YAML as it is read here: check indentation, quotes and doubled \
                  names; anchors, aliases and tags are not taken"
            .to_owned(),
    }
}

/// The fields of an object.
const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Deeper than any object that we know.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secretvault_vault::VaultRef;
    use serde_json::json;

    use super::*;

    fn documents(text: &str) -> Vec<Document> {
        read_documents(text.as_bytes()).unwrap()
    }

    fn error(text: &str) -> YamlError {
        let document = read_documents(text.as_bytes());
        let object = document.and_then(|documents| object(&documents[0]).map(drop));
        object.unwrap_err()
    }

    const HEAD: &str = "apiVersion: secretvault.dev/v1alpha1\nkind: SecretVault\n";

    #[test]
    fn every_document_is_read_and_empty_ones_are_not() {
        let documents = documents("---\na: 1\n---\n---\n# only a comment\n---\nb: [x, {y: z}]\n");
        let values: Vec<_> = documents.iter().map(|it| it.value.clone()).collect();
        assert_eq!(values, [json!({"a": 1}), json!({"b": ["x", {"y": "z"}]})]);
    }

    #[test]
    fn a_field_s_line_is_known_or_that_of_what_it_should_be_in() {
        let text = "spec:\n  files:\n  - entry: a\n    mode: '9'\n  data:\n    db/pass: x\n";
        let document = &documents(text)[0];
        assert_eq!(document.line_of("spec.files[0].mode"), 4);
        assert_eq!(document.line_of("spec.data[db/pass]"), 6);
        assert_eq!(document.line_of("spec.files[7].mode"), 3);
    }

    #[test]
    fn a_misspelt_field_is_refused_with_what_was_meant() {
        let text = format!("{HEAD}metadata: {{name: a}}\nspce: {{}}\n");
        let error = error(&text);
        assert_eq!(
            error.to_string(),
            "line 4: spce: there is no such field: did you mean spec?"
        );
    }

    #[test]
    fn another_kind_is_refused() {
        let error = error("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n");
        assert_eq!(
            error.to_string(),
            "line 1: apiVersion: must be secretvault.dev/v1alpha1"
        );
    }

    #[test]
    fn no_error_quotes_a_value() {
        for text in [
            "data: {a: hunter2, a: hunter2}\n",
            "data: {a: 'hunter2}\n",
            "a: &x hunter2\nb: *x\n",
            "\thunter2\n",
        ] {
            let error = error(text);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_object_is_written_and_read_back_byte_for_byte() {
        let values = [
            "",
            "yes",
            "0400",
            "a: b",
            "# x",
            "x\ny\n",
            " lead",
            "trail ",
            "\t",
            "ä☃",
            "'",
            "\"",
            "|",
            "- a",
            "~",
            "null",
            "1e3",
            "\u{0}\u{7}\u{85}\u{2028}",
        ];
        let mut object = Object::new(&VaultRef::new("shop", "app"));
        let long = "sv1:".to_owned() + &"A".repeat(5000);
        let values = values.into_iter().chain([long.as_str()]).enumerate();
        let data: BTreeMap<String, &str> = values.map(|(n, v)| (n.to_string(), v)).collect();
        object.spec = json!({"publicData": data, "files": [{"entry": "1", "mode": "0400"}]});
        let text = write(&object).unwrap();
        let read = read_object(text.as_bytes()).unwrap();
        assert_eq!(read.spec, object.spec, "{text}");
        assert_eq!(write(&read).unwrap(), text);
    }
}
