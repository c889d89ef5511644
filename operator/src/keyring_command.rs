//! `secretvault-operator keyring`: makes, takes in and gives out keyrings, for backup and for
//! those who bring their own key.
//!
//! Keys come from standard input or a file, and go to standard output or a new file of mode 0600.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use secretvault_envelope::RandomError;
use secretvault_keyring::{ImportError, Keyring, KeyringError, MAX_KEYRING_LEN};
use zeroize::Zeroizing;

use crate::config::KeyringCommand;

/// Does what was asked.
///
/// # Errors
/// Fails when input is not what it should be, or output exists already.
pub fn execute(command: &KeyringCommand) -> Result<(), KeyringCommandError> {
    match command {
        KeyringCommand::Export { file } => {
            let keyring = Keyring::parse(&read(file.as_deref())?)?;
            write(None, &keyring.export_primary())
        }
        KeyringCommand::Generate { out } => write(
            out.as_deref(),
            &Keyring::generate(Timestamp::now())?.to_json(),
        ),
        KeyringCommand::Import { file, out } => {
            let keyring = Keyring::import_base64(read(file.as_deref())?.trim(), Timestamp::now())?;
            write(out.as_deref(), &keyring.to_json())
        }
    }
}

/// Reads a text no longer than a keyring may be, without a copy that is not wiped.
fn read(file: Option<&Path>) -> Result<Zeroizing<String>, KeyringCommandError> {
    let place = || {
        file.map_or_else(
            || "standard input".into(),
            |path| path.display().to_string(),
        )
    };
    let unreadable = |source| KeyringCommandError::Read {
        place: place(),
        source,
    };
    let input: Box<dyn Read> = match file {
        Some(path) => Box::new(File::open(path).map_err(unreadable)?),
        None => Box::new(io::stdin()),
    };
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEYRING_LEN + 2));
    let limit = u64::try_from(MAX_KEYRING_LEN + 1).unwrap_or(u64::MAX);
    input
        .take(limit)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() > MAX_KEYRING_LEN {
        return Err(KeyringCommandError::TooLong { place: place() });
    }
    Ok(text)
}

/// Writes a line to a new file that only its owner may read, or to standard output.
fn write(out: Option<&Path>, text: &str) -> Result<(), KeyringCommandError> {
    let Some(path) = out else {
        let unwritten = |source| KeyringCommandError::Write {
            place: "standard output".into(),
            source,
        };
        return writeln!(io::stdout(), "{text}").map_err(unwritten);
    };
    let unwritten = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return KeyringCommandError::Exists {
                path: path.to_owned(),
            };
        }
        KeyringCommandError::Write {
            place: path.display().to_string(),
            source,
        }
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(unwritten)?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .map_err(unwritten)
}

/// Why a keyring command failed. No message holds a part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringCommandError {
    /// There is a file already.
    #[error("{} exists already, and may be the only copy of a keyring: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The key that was brought is none.
    #[error("the key cannot be imported")]
    Import(#[from] ImportError),
    /// The document is no keyring.
    #[error("the keyring cannot be read")]
    Keyring(#[from] KeyringError),
    /// The system has no randomness.
    #[error("no key can be made")]
    Random(#[from] RandomError),
    /// The input is not there, or not text.
    #[error("{place} cannot be read")]
    Read {
        /// Where from.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// The input is longer than any keyring.
    #[error("{place} holds more than a keyring may: {MAX_KEYRING_LEN} bytes")]
    TooLong {
        /// Where from.
        place: String,
    },
    /// The output did not take it.
    #[error("{place} cannot be written")]
    Write {
        /// Where to.
        place: String,
        /// What the system says.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn generate(out: &Path) -> Result<(), KeyringCommandError> {
        execute(&KeyringCommand::Generate {
            out: Some(out.to_owned()),
        })
    }

    #[test]
    fn a_generated_keyring_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        generate(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(Keyring::parse(&fs::read_to_string(&path).unwrap()).is_ok());
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        generate(&path).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(
            generate(&path),
            Err(KeyringCommandError::Exists { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn an_imported_key_is_the_primary_one() {
        let directory = tempfile::tempdir().unwrap();
        let (key, out) = (
            directory.path().join("key"),
            directory.path().join("keyring"),
        );
        let brought = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        fs::write(&key, format!("{brought}\n")).unwrap();
        execute(&KeyringCommand::Import {
            file: Some(key),
            out: Some(out.clone()),
        })
        .unwrap();
        let keyring = Keyring::parse(&fs::read_to_string(out).unwrap()).unwrap();
        assert_eq!(keyring.export_primary().as_str(), brought);
    }

    #[test]
    fn a_key_of_another_length_is_refused_without_being_shown() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        fs::write(&key, "c2hvcnQ=").unwrap();
        let error = execute(&KeyringCommand::Import {
            file: Some(key),
            out: None,
        })
        .unwrap_err();
        assert!(!format!("{:#}", anyhow::Error::from(error)).contains("c2hvcnQ"));
    }

    #[test]
    fn more_than_a_keyring_may_hold_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keyring");
        fs::write(&file, " ".repeat(MAX_KEYRING_LEN + 1)).unwrap();
        let error = execute(&KeyringCommand::Export { file: Some(file) }).unwrap_err();
        assert!(matches!(error, KeyringCommandError::TooLong { .. }));
    }
}
