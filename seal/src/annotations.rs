use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::Refusal;
use crate::entries::{Entry, Sealable};

/// Where client-side apply keeps the manifest it was given.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Stands for each secret value in [`LAST_APPLIED`]. The keys must stay: kubectl finds removed
/// entries by them. The envelopes would double the object.
const SEALED: &str = "(sealed)";

/// Annotations of tools that keep the whole manifest, packed so that nobody can look into them.
const OPAQUE_COPIES: [&str; 2] = ["kapp.k14s.io/original", "objectset.rio.cattle.io/applied"];

/// The fields of `spec` that hold no secret: all but `data` and `binaryData`.
pub(crate) const READABLE: [&str; 13] = [
    "access",
    "dataKey",
    "description",
    "editors",
    "fileDefaults",
    "files",
    "freshEnvelopes",
    "immutable",
    "keyProvider",
    "onDelete",
    "publicBinaryData",
    "publicData",
    "rekeyAfter",
];

/// The most bytes of annotations, keys and texts, that are searched for values: what Kubernetes takes
/// of one object. The one that client-side apply leaves loses its values first.
pub(crate) const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Values shorter than this are only looked for as a whole JSON string: the letter "a" is in every
/// annotation.
const SHORTEST_SUBSTRING: usize = 6;

/// Refuses annotations that hold a plain value of this manifest.
pub(crate) fn refuse_unreadable_copies(
    annotations: &BTreeMap<String, String>,
    entries: &[Entry<'_>],
) -> Result<(), Refusal> {
    let plain: Vec<&Entry<'_>> = entries
        .iter()
        .filter(|entry| matches!(entry.sealable, Sealable::Plain(_)))
        .collect();
    if plain.is_empty() {
        return Ok(());
    }
    let searched = || annotations.iter().filter(|(key, _)| *key != LAST_APPLIED);
    // Kubernetes has the same limit, and comes to it later.
    let bytes: usize = searched().map(|(key, text)| key.len() + text.len()).sum();
    if bytes > MAX_ANNOTATIONS {
        return Err(Refusal::AnnotationsTooLarge { bytes });
    }
    let opaque = |key: &&String| OPAQUE_COPIES.contains(&key.as_str());
    if let Some(annotation) = searched().map(|(key, _)| key).find(opaque) {
        return Err(Refusal::AnnotationKeepsManifest {
            annotation: annotation.clone(),
        });
    }
    for entry in plain.iter().filter(|entry| !entry.text.is_empty()) {
        let forms = Forms::of(entry.text);
        if let Some((annotation, _)) = searched().find(|(_, text)| forms.are_in(text)) {
            return Err(Refusal::AnnotationHoldsValue {
                annotation: annotation.clone(),
                entry: entry.name.to_owned(),
            });
        }
    }
    Ok(())
}

/// A value as an annotation may hold it. Made once, however many annotations there are.
struct Forms<'a> {
    text: &'a str,
    quoted: Zeroizing<String>,
    encoded: Zeroizing<String>,
}

impl<'a> Forms<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            quoted: Zeroizing::new(Value::from(text).to_string()),
            encoded: Zeroizing::new(BASE64_STANDARD.encode(text)),
        }
    }

    fn are_in(&self, annotation: &str) -> bool {
        // No form is shorter than the text.
        if annotation.len() < self.text.len() {
            return false;
        }
        if annotation == self.text || annotation.contains(self.quoted.as_str()) {
            return true;
        }
        if self.text.len() < SHORTEST_SUBSTRING {
            return false;
        }
        let escaped = self.quoted.trim_matches('"');
        [self.text, escaped, self.encoded.trim_end_matches('=')]
            .into_iter()
            .any(|form| annotation.contains(form))
    }
}

/// The last-applied annotation without its values, or `None` where there is no such annotation.
pub(crate) fn scrubbed_last_applied(
    annotations: &BTreeMap<String, String>,
) -> Result<Option<String>, Refusal> {
    let Some(text) = annotations.get(LAST_APPLIED) else {
        return Ok(None);
    };
    let mut manifest: Value =
        serde_json::from_str(text).map_err(|_| Refusal::LastAppliedUnreadable)?;
    let fields = manifest
        .as_object_mut()
        .filter(|fields| fields.contains_key("spec"))
        .ok_or(Refusal::LastAppliedUnreadable)?;
    for (field, value) in fields.iter_mut() {
        match field.as_str() {
            "apiVersion" | "kind" | "metadata" | "status" => {}
            "spec" => scrub_spec(value),
            _ => scrub_values(value),
        }
    }
    Ok(Some(manifest.to_string()))
}

/// Also scrubs what the API server drops, such as a `stringData` that somebody knows from Secrets:
/// in this annotation it would stay.
fn scrub_spec(spec: &mut Value) {
    let Value::Object(fields) = spec else {
        return scrub(spec);
    };
    for (field, value) in fields {
        if !READABLE.contains(&field.as_str()) {
            scrub_values(value);
        }
    }
}

fn scrub_values(value: &mut Value) {
    match value {
        Value::Object(values) => values.values_mut().for_each(scrub),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            scrub(value);
        }
    }
}

fn scrub(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
    *value = Value::from(SEALED);
}
