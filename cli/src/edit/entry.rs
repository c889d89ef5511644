//! Single entries: set, and taken out.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secretvault_crds::limits::MAX_VALUE;
use secretvault_vault::EntryName;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{note, say};
use crate::{command::SetArgs, files, nearest::nearest, object::Object, session::Session};

/// Gives an entry a value, in a vault that is made if it is not there.
///
/// # Errors
/// The value cannot be read, or the vault with it is refused.
pub fn set(session: &Session, arguments: &SetArgs) -> anyhow::Result<()> {
    let store = session.store()?;
    let vault = session.vault(&arguments.vault)?;
    let entry: EntryName = arguments.entry.parse()?;
    // Before the locks: a person may take long to type.
    let value = read_value(arguments, &entry)?;
    let writing = store.lock()?;
    let (keys, kept) = session.keys_to_write()?;
    let stored = store.read(&vault)?.map(|stored| stored.object);
    let mut object = stored.clone().unwrap_or_else(|| Object::new(&vault));
    put(&mut object, entry.as_str(), &value, arguments.no_secret);
    let outcome = session.put(&writing, &keys, stored.as_ref(), object)?;
    drop((writing, kept));
    say(&vault, outcome.word());
    session.changed(&store, Some(&keys));
    Ok(())
}

/// Takes entries out of a vault, and the rules of `files` that speak of them.
///
/// # Errors
/// One of them is not there: then nothing is changed.
pub fn remove(session: &Session, vault: &str, entries: &[String]) -> anyhow::Result<()> {
    let store = session.store()?;
    let writing = store.lock()?;
    let (keys, kept) = session.keys_to_write()?;
    let stored = session.existing(&store, vault)?.object;
    let mut object = stored.clone();
    for entry in entries {
        take(&mut object, entry).with_context(|| format!("vault {}", stored.reference()))?;
    }
    let outcome = session.put(&writing, &keys, Some(&stored), object)?;
    drop((writing, kept));
    say(&stored.reference(), outcome.word());
    session.changed(&store, Some(&keys));
    Ok(())
}

/// Puts a value into the map that fits it, and out of every other.
pub(super) fn put(object: &mut Object, entry: &str, value: &[u8], public: bool) {
    // Text that starts like an envelope is refused as text: as bytes it is only a value.
    let text = std::str::from_utf8(value).ok();
    let text = text.filter(|it| public || !it.starts_with("sv1:") && !it.starts_with("git1:"));
    let (map, written) = match (text, public) {
        (Some(text), false) => ("data", text.to_owned()),
        (Some(text), true) => ("publicData", text.to_owned()),
        (None, false) => ("binaryData", BASE64_STANDARD.encode(value)),
        (None, true) => ("publicBinaryData", BASE64_STANDARD.encode(value)),
    };
    for other in MAPS.into_iter().filter(|other| *other != map) {
        if let Some(entries) = entries(object, other) {
            entries.remove(entry);
        }
    }
    drop_empty(object);
    object.spec[map][entry] = written.into();
}

fn take(object: &mut Object, entry: &str) -> anyhow::Result<()> {
    let taken = MAPS.into_iter().any(|map| {
        let entries = entries(object, map);
        entries.is_some_and(|entries| entries.remove(entry).is_some())
    });
    if !taken {
        let mut names = Vec::new();
        for map in MAPS {
            names.extend(
                entries(object, map)
                    .into_iter()
                    .flat_map(|it| it.keys().cloned()),
            );
        }
        match nearest(entry, names.iter().map(String::as_str)) {
            Some(meant) => bail!("there is no entry {entry}: did you mean {meant}?"),
            None => bail!("there is no entry {entry}: `secretvault show` lists those that are"),
        }
    }
    if let Some(rules) = object.spec.get_mut("files").and_then(Value::as_array_mut) {
        rules.retain(|rule| rule.get("entry").and_then(Value::as_str) != Some(entry));
    }
    drop_empty(object);
    Ok(())
}

fn entries<'a>(object: &'a mut Object, map: &str) -> Option<&'a mut Map<String, Value>> {
    object.spec.get_mut(map)?.as_object_mut()
}

/// A map without entries is none, as in what kubectl shows.
fn drop_empty(object: &mut Object) {
    if let Some(fields) = object.spec.as_object_mut() {
        fields.retain(|_, value| match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(entries) => !entries.is_empty(),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => true,
        });
    }
}

fn read_value(arguments: &SetArgs, entry: &EntryName) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut value = match arguments
        .file
        .as_deref()
        .filter(|file| *file != Path::new("-"))
    {
        Some(path) => {
            let place = path.display().to_string();
            let file = File::open(path).with_context(|| place.clone())?;
            read_within_limit(file, &place)?
        }
        None if io::stdin().is_terminal() => return ask(entry),
        None => read_within_limit(io::stdin(), "standard input")?,
    };
    if arguments.trim {
        let end = value.iter().rposition(|byte| !b"\r\n".contains(byte));
        value.truncate(end.map_or(0, |last| last + 1));
    } else if value.ends_with(b"\n") && arguments.file.is_none() {
        note("the value ends with a line break, which belongs to it: --trim takes it off");
    }
    Ok(value)
}

fn read_within_limit(from: impl io::Read, place: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    match files::read(from, MAX_VALUE) {
        Ok(value) => Ok(value),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            bail!("{place}: a value has at most {MAX_VALUE} bytes (512 KiB)")
        }
        Err(error) => Err(error).with_context(|| place.to_owned()),
    }
}

/// Asks twice, without showing what is typed.
fn ask(entry: &EntryName) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let first = prompt(&format!("Value of {entry}: "))?;
    let second = prompt("Again: ")?;
    if first != second {
        bail!("the two values differ: nothing was changed");
    }
    Ok(first)
}

fn prompt(question: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // First: what is typed as soon as the question stands must not be shown, nor thrown away.
    let _hidden = Hidden::start()?;
    write!(io::stderr(), "{question}")?;
    io::stderr().flush()?;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
    let mut byte = [0];
    // Byte by byte: a buffered reader would keep a copy.
    while rustix::io::read(io::stdin(), &mut byte)? == 1 {
        if byte[0] == b'\n' {
            writeln!(io::stderr())?;
            return Ok(line);
        }
        line.push(byte[0]);
        if line.len() == LONGEST_LINE {
            bail!("a terminal takes no longer line: give the value with --file");
        }
    }
    bail!("the input ended before the line did: nothing was changed")
}

/// A terminal that does not show what is typed, until this drops.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn start() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// A terminal drops what is beyond it, silently.
const LONGEST_LINE: usize = 4095;

const MAPS: [&str; 4] = ["binaryData", "data", "publicBinaryData", "publicData"];

#[cfg(test)]
mod tests {
    use secretvault_vault::VaultRef;
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> Object {
        let mut object = Object::new(&VaultRef::new("shop", "app"));
        object.spec = spec;
        object
    }

    #[test]
    fn a_value_goes_into_the_map_that_fits_it() {
        for (value, public, expected) in [
            (&b"text"[..], false, json!({"data": {"a": "text"}})),
            (b"text", true, json!({"publicData": {"a": "text"}})),
            (b"\xff\x00", false, json!({"binaryData": {"a": "/wA="}})),
            (b"\xff", true, json!({"publicBinaryData": {"a": "/w=="}})),
            (b"sv1:x", false, json!({"binaryData": {"a": "c3YxOng="}})),
            (b"sv1:x", true, json!({"publicData": {"a": "sv1:x"}})),
        ] {
            let mut object = object(json!({"data": {"a": "old"}}));
            put(&mut object, "a", value, public);
            assert_eq!(object.spec, expected);
        }
    }

    #[test]
    fn an_entry_goes_with_its_file_rule() {
        let mut object = object(json!({
            "data": {"a": "1", "b": "2"},
            "files": [{"entry": "a", "path": "x"}, {"entry": "b"}],
        }));
        take(&mut object, "a").unwrap();
        assert_eq!(
            object.spec,
            json!({"data": {"b": "2"}, "files": [{"entry": "b"}]})
        );
        let error = take(&mut object, "bb").unwrap_err().to_string();
        assert_eq!(error, "there is no entry bb: did you mean b?");
        take(&mut object, "b").unwrap();
        assert_eq!(object.spec, json!({}));
    }
}
