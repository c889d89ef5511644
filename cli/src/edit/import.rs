//! Values that are somewhere else already: a `.env` file, a directory of files, a Kubernetes
//! Secret.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_crds::limits::MAX_VALUE;
use secretvault_vault::EntryName;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{entry::put, note, say};
use crate::{command::ImportArgs, files, object::Object, session::Session, yaml};

type Values = Vec<(String, Zeroizing<Vec<u8>>)>;

/// Takes values into a vault, which is made if it is not there. Its other entries stay.
///
/// # Errors
/// One of them cannot be read, or is refused: then nothing is changed.
pub fn import(session: &Session, arguments: &ImportArgs) -> anyhow::Result<()> {
    let store = session.store()?;
    let vault = session.vault(&arguments.vault)?;
    let values = read(arguments)?;
    if values.is_empty() {
        note("there is nothing to import in what was given");
        return Ok(());
    }
    let writing = store.lock()?;
    let (keys, kept) = session.keys_to_write()?;
    let stored = store.read(&vault)?.map(|stored| stored.object);
    let mut object = stored.clone().unwrap_or_else(|| Object::new(&vault));
    for (name, value) in &values {
        let entry: EntryName = format!("{}{name}", arguments.prefix).parse()?;
        put(&mut object, entry.as_str(), value, arguments.no_secret);
    }
    let outcome = session.put(&writing, &keys, stored.as_ref(), object)?;
    drop((writing, kept));
    let word = outcome.word();
    let count = match values.len() {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    say(&vault, &format!("{word}: {count} imported"));
    note("what was imported is still where it came from, in plain text: delete it there");
    session.changed(&store, Some(&keys));
    Ok(())
}

fn read(arguments: &ImportArgs) -> anyhow::Result<Values> {
    let source = &arguments.source;
    if let Some(path) = &source.env_file {
        let text = read_file(path, MAX_FILE)?;
        let shown = path.display();
        return parse_env(&text).map_err(|line| {
            anyhow::anyhow!("{shown}, line {line}: this is not NAME=VALUE, a comment or empty")
        });
    }
    if let Some(path) = &source.secret {
        let text = if path == Path::new("-") {
            files::read(io::stdin(), MAX_FILE).context("standard input")?
        } else {
            read_file(path, MAX_FILE)?
        };
        return parse_secret(&text).with_context(|| path.display().to_string());
    }
    let mut values = Values::new();
    if let Some(path) = &source.directory {
        read_directory(path, "", &mut values)?;
    }
    Ok(values)
}

fn read_file(path: &Path, limit: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    files::read(file, limit).with_context(|| path.display().to_string())
}

/// Each file below a directory. Names that start with a dot are passed over: they are `..data` of a
/// mounted Secret, or an editor's.
fn read_directory(path: &Path, prefix: &str, values: &mut Values) -> anyhow::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        entries.push(entry?.path());
    }
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} is not UTF-8", path.display()))?;
        if name.starts_with('.') {
            continue;
        }
        let entry = format!("{prefix}{name}");
        if path.is_dir() {
            read_directory(&path, &format!("{entry}/"), values)?;
        } else {
            values.push((entry, read_file(&path, MAX_VALUE)?));
        }
    }
    Ok(())
}

/// Lines `NAME=VALUE`, with or without `export`. A value may stand in quotes: in double ones `\n`,
/// `\"` and `\\` mean what they do in a shell, single ones take everything as it is. Nothing is
/// substituted. The error is the line's number.
fn parse_env(text: &[u8]) -> Result<Values, usize> {
    let mut values = Values::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let wrong = index + 1;
        let line = std::str::from_utf8(line).map_err(|_| wrong)?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(wrong)?;
        let name = name.trim_end();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(wrong);
        }
        let value = unquote(value.trim_start()).ok_or(wrong)?;
        values.retain(|(known, _)| known != name);
        values.push((name.to_owned(), value));
    }
    Ok(values)
}

fn unquote(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(Vec::with_capacity(text.len()));
    if let Some(inside) = text.strip_prefix('\'') {
        value.extend_from_slice(inside.strip_suffix('\'')?.as_bytes());
        return Some(value);
    }
    let Some(inside) = text.strip_prefix('"') else {
        // As shells do: a comment starts after a blank.
        let end = text.find(" #").unwrap_or(text.len());
        value.extend_from_slice(text[..end].trim_end().as_bytes());
        return Some(value);
    };
    let mut bytes = inside.bytes();
    loop {
        match bytes.next()? {
            b'"' => break,
            b'\\' => match bytes.next()? {
                b'n' => value.push(b'\n'),
                b'r' => value.push(b'\r'),
                b't' => value.push(b'\t'),
                byte @ (b'"' | b'$' | b'\\' | b'`') => value.push(byte),
                // As in a shell, before anything else it is only a backslash.
                byte => value.extend_from_slice(&[b'\\', byte]),
            },
            byte => value.push(byte),
        }
    }
    let rest: Vec<u8> = bytes.collect();
    let rest = rest.trim_ascii();
    (rest.is_empty() || rest.starts_with(b"#")).then_some(value)
}

/// `data` and `stringData` of a Secret.
fn parse_secret(text: &[u8]) -> anyhow::Result<Values> {
    let documents = yaml::read_documents(text)?;
    let [document] = documents.as_slice() else {
        bail!(
            "it holds {} objects, and must hold one Secret",
            documents.len()
        );
    };
    let object = &document.value;
    let kind = object.get("kind").and_then(Value::as_str);
    if kind != Some("Secret") {
        bail!("it holds no Secret: kind must be Secret");
    }
    let map = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let mut values = Values::new();
    for (name, value) in map("data") {
        let bytes = value
            .as_str()
            .and_then(|text| BASE64_STANDARD.decode(text).ok());
        let bytes = bytes.with_context(|| format!("data[{name}] is not base64"))?;
        values.push((name.clone(), Zeroizing::new(bytes)));
    }
    for (name, value) in map("stringData") {
        let text = value
            .as_str()
            .with_context(|| format!("stringData[{name}] is not text"))?;
        values.retain(|(known, _)| known != name);
        values.push((name.clone(), Zeroizing::new(text.as_bytes().to_vec())));
    }
    Ok(values)
}

/// What a Secret may have, and more than any `.env` file.
const MAX_FILE: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn env(text: &str) -> Result<Vec<(String, String)>, usize> {
        let values = parse_env(text.as_bytes())?;
        let text = |value: &Zeroizing<Vec<u8>>| String::from_utf8(value.to_vec()).unwrap();
        Ok(values
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect())
    }

    #[test]
    fn the_forms_of_a_line_in_a_dot_env_file() {
        for (line, expected) in [
            ("A=b", "b"),
            ("export A=b", "b"),
            ("  A = b  ", "b"),
            ("A=", ""),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A='b # \\n'", "b # \\n"),
            (r#"A="b\nc\"d\\""#, "b\nc\"d\\"),
            (r#"A="b" # comment"#, "b"),
            (r#"A="p\w0rd C:\dir \$x""#, r"p\w0rd C:\dir $x"),
            ("A=b=c", "b=c"),
            ("A=$HOME", "$HOME"),
        ] {
            assert_eq!(
                env(line),
                Ok(vec![("A".to_owned(), expected.to_owned())]),
                "{line}"
            );
        }
        assert_eq!(env("# only\n\n"), Ok(vec![]));
        assert_eq!(env("A=1\nA=2"), Ok(vec![("A".to_owned(), "2".to_owned())]));
    }

    #[test]
    fn a_line_that_means_nothing_is_named_by_its_number() {
        for line in ["A", "=b", "A B=c", "A='b", "A=\"b", "A=\"b\" c"] {
            assert_eq!(env(&format!("X=1\n{line}")), Err(2), "{line}");
        }
    }

    #[test]
    fn a_secret_s_bytes_and_texts_are_taken() {
        let text = "kind: Secret\ndata: {a: AAH/, b: ''}\nstringData: {b: text}\n";
        let values = parse_secret(text.as_bytes()).unwrap();
        let values: Vec<_> = values
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        assert_eq!(values, [("a", &b"\x00\x01\xff"[..]), ("b", b"text")]);
    }

    #[test]
    fn what_is_no_secret_is_refused_without_its_values() {
        for text in [
            "kind: ConfigMap\ndata: {a: hunter2}\n",
            "kind: Secret\ndata: {a: hunter2!}\n",
            "kind: Secret\n---\nkind: Secret\n",
        ] {
            let error = format!("{:#}", parse_secret(text.as_bytes()).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
