//! Apply, and what it would change.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use anyhow::{anyhow, bail};
use secretvault_seal::never_matching;
use serde_json::Value;

use super::{Source, note, read_manifests, say};
use crate::{
    command::{ApplyArgs, ManifestArgs},
    keys::Keys,
    object::Object,
    sealing::{self, Outcome},
    session::Session,
    store::Store,
};

/// Seals manifests and stores them. All of them are sealed before the first one is stored.
///
/// # Errors
/// One is refused: then nothing is stored.
pub fn apply(session: &Session, arguments: &ApplyArgs) -> anyhow::Result<()> {
    let store = session.store()?;
    // Before the locks: standard input may take long.
    let sources = read(session, &arguments.manifests)?;
    let writing = store.lock()?;
    let (keys, kept) = session.keys_to_write()?;
    let sealed = seal_all(session, &store, &keys, &sources)?;
    let applied = sealed.iter().try_for_each(|(_, object, outcome)| {
        if *outcome != Outcome::Unchanged && !arguments.dry_run {
            writing.write(object)?;
        }
        let dry = if arguments.dry_run { " (dry run)" } else { "" };
        say(&object.reference(), &format!("{}{dry}", outcome.word()));
        for never in never_matching(&object.spec) {
            note(&format!("warning: vault {}: {never}", object.reference()));
        }
        Ok(())
    });
    drop((writing, kept));
    // Also after an error: those before it are stored.
    if !arguments.dry_run {
        session.changed(&store, Some(&keys));
    }
    applied
}

/// Says by name what an apply would change, and nothing of any value. Answers whether it would
/// change anything.
///
/// # Errors
/// A manifest would be refused.
pub fn diff(session: &Session, manifests: &ManifestArgs) -> anyhow::Result<bool> {
    let (store, keys) = (session.store()?, session.keys()?);
    let mut differs = false;
    let mut out = io::stdout();
    let sources = read(session, manifests)?;
    for (stored, object, _) in seal_all(session, &store, &keys, &sources)? {
        let lines = differences(stored.as_ref(), &object);
        differs |= !lines.is_empty();
        let vault = object.reference();
        for line in lines {
            writeln!(out, "{vault}: {line}")?;
        }
    }
    Ok(differs)
}

type Sealed = (Option<Object>, Object, Outcome);

fn read(session: &Session, manifests: &ManifestArgs) -> anyhow::Result<Vec<Source>> {
    let recursive = manifests.recursive;
    let sources = read_manifests(&manifests.filename, recursive, &session.namespace)?;
    if sources.is_empty() {
        bail!("there is no SecretVault in what was given");
    }
    Ok(sources)
}

fn seal_all(
    session: &Session,
    store: &Store,
    keys: &Keys,
    sources: &[Source],
) -> anyhow::Result<Vec<Sealed>> {
    let sealed = sources.iter();
    sealed
        .map(|source| seal(session, store, keys, source))
        .collect()
}

fn seal(session: &Session, store: &Store, keys: &Keys, source: &Source) -> anyhow::Result<Sealed> {
    let vault = source.object.reference();
    let stored = store.read(&vault)?.map(|stored| stored.object);
    let sealed = sealing::seal(stored.as_ref(), source.object.clone(), keys, session.now);
    let (object, outcome) = sealed.map_err(|error| {
        let place = source.at(error.field().as_deref());
        anyhow!(error).context(format!("{place}: vault {vault} is refused"))
    })?;
    Ok((stored, object, outcome))
}

/// One line for each entry and each other field: `+` new, `-` gone, `~` another.
fn differences(stored: Option<&Object>, object: &Object) -> Vec<String> {
    let (before, after) = (stored.map(parts).unwrap_or_default(), parts(object));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| format!("- {name}"));
    let changed = after
        .iter()
        .filter_map(|(name, value)| match before.get(name) {
            None => Some(format!("+ {name}")),
            Some(known) if known != value => Some(format!("~ {name}")),
            Some(_) => None,
        });
    gone.chain(changed).collect()
}

/// Entries and fields by name. The data key and the notes of this machine are nobody's doing.
fn parts(object: &Object) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::new();
    for (field, value) in object.spec.as_object().into_iter().flatten() {
        match (field.as_str(), value) {
            ("dataKey", _) => {}
            ("data" | "binaryData" | "publicData" | "publicBinaryData", Value::Object(entries)) => {
                let entries = entries.iter();
                let entries = entries.map(|(name, text)| (format!("{field} {name}"), text.clone()));
                parts.extend(entries);
            }
            (_, value) => {
                parts.insert(field.clone(), value.clone());
            }
        }
    }
    let annotations = object.annotations_of_others().into_iter();
    parts.extend(annotations.map(|(name, text)| (format!("annotation {name}"), text.into())));
    let labels = object.metadata.labels.iter().flatten();
    parts.extend(labels.map(|(name, text)| (format!("label {name}"), text.clone().into())));
    parts
}
