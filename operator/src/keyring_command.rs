//! `secretvault-operator keyring`: makes, takes in and gives out keyrings, for backup and for
//! those who bring their own key; rotates and retires the keys of keyring files, which the operator
//! itself cannot write.
//!
//! Keys come from standard input or a file, and go to standard output or a new file of mode 0600.
//! A file that is changed is replaced at once: whoever reads it finds the old or the new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use secretvault_envelope::RandomError;
use secretvault_keyring::{
    ImportError, InvalidKeyId, Keyring, KeyringError, MAX_KEYRING_LEN, RetireError, RotateError,
};
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
        KeyringCommand::Retire { file, key_id } => retire(file, key_id),
        KeyringCommand::Rotate { file } => rotate(file, Timestamp::now()),
    }
}

fn rotate(path: &Path, now: Timestamp) -> Result<(), KeyringCommandError> {
    let mut keyring = Keyring::parse(&read(Some(path))?)?;
    keyring.rotate(now)?;
    replace(path, &keyring.to_json())?;
    say(&format!(
        "key {} wraps from now on. The operator sees it within seconds and wraps all data keys with it.\n\
         Back up the file now: without the new key, what it wraps is lost.\n\
         Keep the others until the KeyProvider's condition KeyCurrent is True.",
        keyring.primary_id()
    ));
    Ok(())
}

fn retire(path: &Path, key_id: &str) -> Result<(), KeyringCommandError> {
    let id = key_id.parse()?;
    let mut keyring = Keyring::parse(&read(Some(path))?)?;
    let refused = |reason| KeyringCommandError::Retire {
        key_id: key_id.to_owned(),
        reason,
    };
    keyring.retire_one(&id).map_err(refused)?;
    replace(path, &keyring.to_json())?;
    say(&format!(
        "key {id} is no longer in the file. WARNING: whatever is still wrapped with it cannot be opened any more.\n\
         This command sees no vaults. Look at status.keys of the KeyProvider: if a vault needs the key, put the file's backup\n\
         in place again. Backups of vaults that were made before may need it for ever: keep that file with them."
    ));
    Ok(())
}

/// For a person. A terminal that is gone is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Puts a text in the place of a file's: written beside it, synced, renamed. It keeps its owner, so
/// that the operator can read it still, and nobody but owner and group may.
fn replace(path: &Path, text: &str) -> Result<(), KeyringCommandError> {
    let unwritten = |source| KeyringCommandError::Write {
        place: path.display().to_string(),
        source,
    };
    // What a link leads to is replaced, and not the link.
    let path = fs::canonicalize(path).map_err(unwritten)?;
    let next = beside(&path);
    let replaced = write_beside(&path, &next, text).and_then(|()| fs::rename(&next, &path));
    if replaced.is_err() {
        let _ = fs::remove_file(&next);
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    replaced
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(unwritten)
}

fn write_beside(path: &Path, next: &Path, text: &str) -> io::Result<()> {
    let before = fs::metadata(path)?;
    // One that a crash has left would be in the way.
    match fs::remove_file(next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(next)?;
    let owner = file.metadata()?;
    if (owner.uid(), owner.gid()) != (before.uid(), before.gid()) {
        fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    let mode = (before.mode() & OWNER_AND_GROUP) | OWNER_READS;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.unfinished"))
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
    /// The key's id is none.
    #[error(transparent)]
    Id(#[from] InvalidKeyId),
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
    /// The key cannot be taken out.
    #[error("key {key_id} was not retired, and the file is as it was")]
    Retire {
        /// The key's id.
        key_id: String,
        /// Why.
        #[source]
        reason: RetireError,
    },
    /// The keyring takes no further key.
    #[error("the keyring was not rotated, and the file is as it was")]
    Rotate(#[from] RotateError),
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

const OWNER_AND_GROUP: u32 = 0o660;
const OWNER_READS: u32 = 0o400;

#[cfg(test)]
mod tests;
