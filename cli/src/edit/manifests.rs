//! Manifests from files, directories and standard input.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use secretvault_vault::{VaultRef, names};
use serde_json::Value;

use crate::{
    files,
    object::{KIND, Object},
    yaml::{self, Document, YamlError},
};

/// A manifest, and where it came from.
pub(crate) struct Source {
    /// What it says: values may be plain.
    pub(crate) object: Object,
    place: String,
    document: Document,
}

impl Source {
    /// Points at the place of a field, or at the whole manifest.
    pub(crate) fn at(&self, field: Option<&str>) -> String {
        let line = self.document.line_of(field.unwrap_or("metadata"));
        format!("{}, line {line}", self.place)
    }
}

/// Reads every vault of these files and directories. Objects of other kinds are passed over with a
/// note: a directory of manifests has pods in it, too.
///
/// # Errors
/// One of them cannot be read: then none is returned.
pub(crate) fn read_manifests(
    paths: &[PathBuf],
    recursive: bool,
    namespace: &str,
) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let text = files::read(io::stdin(), MAX_FILE).context("standard input")?;
            read_text("standard input", &text, namespace, &mut sources)?;
            continue;
        }
        for file in yaml_files(path, recursive)? {
            let shown = file.display().to_string();
            let opened = File::open(&file).with_context(|| shown.clone())?;
            let text = files::read(opened, MAX_FILE).with_context(|| shown.clone())?;
            read_text(&shown, &text, namespace, &mut sources)?;
        }
    }
    refuse_doubles(&sources)?;
    Ok(sources)
}

fn read_text(
    place: &str,
    text: &[u8],
    namespace: &str,
    sources: &mut Vec<Source>,
) -> anyhow::Result<()> {
    let wrong = |error: YamlError| anyhow::anyhow!("{place}, {error}");
    for document in yaml::read_documents(text).map_err(wrong)? {
        for document in items(document) {
            let kind = document.value.get("kind").and_then(Value::as_str);
            if kind != Some(KIND) {
                let kind = kind.unwrap_or("something without a kind");
                super::note(&format!("{place}: {kind} is passed over: not a {KIND}"));
                continue;
            }
            let object = named(&document, namespace).map_err(wrong)?;
            sources.push(Source {
                object,
                place: place.to_owned(),
                document,
            });
        }
    }
    Ok(())
}

/// The objects of a `List`, as kubectl prints several, or the one that it is.
fn items(document: Document) -> Vec<Document> {
    if document.value.get("kind").and_then(Value::as_str) == Some("List") {
        document.into_items("items")
    } else {
        vec![document]
    }
}

/// The object with its name checked, in the session's namespace if it names none.
fn named(document: &Document, namespace: &str) -> Result<Object, YamlError> {
    let mut object = yaml::object(document)?;
    let name = object.metadata.name.clone().unwrap_or_default();
    if !names::is_dns_subdomain(&name) {
        let problem = "must be at most 253 of 'a-z', '0-9', '-' and '.'";
        return Err(document.error("metadata.name", problem));
    }
    let namespace = object
        .metadata
        .namespace
        .get_or_insert_with(|| namespace.to_owned());
    if !names::is_dns_label(namespace) {
        let problem = "must be at most 63 of 'a-z', '0-9' and '-'";
        return Err(document.error("metadata.namespace", problem));
    }
    Ok(object)
}

fn refuse_doubles(sources: &[Source]) -> anyhow::Result<()> {
    let mut seen: Vec<(VaultRef, &Source)> = Vec::new();
    for source in sources {
        let vault = source.object.reference();
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == vault) {
            bail!(
                "vault {vault} is in {} and again in {}: keep one of the two",
                first.at(None),
                source.at(None)
            );
        }
        seen.push((vault, source));
    }
    Ok(())
}

/// A file itself, or the YAML and JSON files of a directory, sorted by name.
fn yaml_files(path: &Path, recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        entries.push(entry?.path());
    }
    entries.sort();
    for entry in entries {
        let extension = entry.extension().and_then(|it| it.to_str());
        if entry.is_dir() {
            if recursive {
                found.extend(yaml_files(&entry, true)?);
            }
        } else if matches!(extension, Some("json" | "yaml" | "yml")) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Larger than any directory's manifests in one file.
const MAX_FILE: usize = 64 * 1024 * 1024;
