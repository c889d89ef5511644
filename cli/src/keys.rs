//! The keyring of this machine: made once, read with care, and the one key provider there is.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use rustix::{fs::OFlags, process::geteuid};
use secretvault_crds::DataKey;
use secretvault_envelope::{Dek, DekId, RandomError, VaultBinding};
use secretvault_keyring::{Keyring, KeyringError, MAX_KEYRING_LEN, UnwrapError, WrapError};
use secretvault_seal::{KeyProvider, KeyProviders, NoRandomness, WrappedKey};
use thiserror::Error;

use crate::files;

/// Why there is no keyring to work with. No message holds a part of a key.
#[derive(Debug, Error)]
pub enum KeyringFileError {
    /// Another process replaces it.
    #[error("another process is changing {}: try again when it is done", .0.display())]
    Busy(PathBuf),
    /// There is one already.
    #[error("{} exists already, and may be the only copy of its keys: nothing was changed", .0.display())]
    Exists(PathBuf),
    /// The document is none.
    #[error("{} is not a keyring: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: KeyringError,
    },
    /// It is a link, which somebody could point elsewhere.
    #[error("{} is a link: give the file itself", .0.display())]
    Link(PathBuf),
    /// There is none.
    #[error("there is no keyring at {}: `secretvault init` makes one, or give --keyring FILE", .0.display())]
    Missing(PathBuf),
    /// Somebody else could have read or written it.
    #[error("{} {problem}: its keys may be known to others; `chown` it to yourself and `chmod 600` it, and rotate if others had access", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No randomness.
    #[error("no key can be made")]
    Random(#[from] RandomError),
    /// The kernel refused.
    #[error("{} cannot be {doing}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `locked`, `read` or `written`.
        doing: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Makes a keyring where none is.
///
/// # Errors
/// There is one, or it cannot be written.
pub fn create(path: &Path, now: Timestamp) -> Result<Keyring, KeyringFileError> {
    let unwritten = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return KeyringFileError::Exists(path.to_owned());
        }
        failed(path, "written", source)
    };
    let keyring = Keyring::generate(now)?;
    if let Some(parent) = path.parent() {
        files::make_private_directory(parent).map_err(unwritten)?;
    }
    files::create(path, keyring.to_json().as_bytes()).map_err(unwritten)?;
    Ok(keyring)
}

/// Writes a keyring in the place of the one that is there.
///
/// # Errors
/// It cannot be written; the one before is there still.
pub fn save(path: &Path, keyring: &Keyring) -> Result<(), KeyringFileError> {
    let written = files::replace(path, keyring.to_json().as_bytes());
    written.map_err(|source| failed(path, "written", source))
}

/// A keyring that nobody replaces until this drops: a key that is about to wrap something must not
/// be retired meanwhile.
#[derive(Debug)]
pub struct Kept {
    /// The keyring.
    pub keyring: Keyring,
    /// What keeps it.
    pub lock: KeyringLock,
}

/// Keeps a keyring as it is until it drops.
pub type KeyringLock = Flock<File>;

/// Reads the keyring and keeps it as it is: `exclusive` for who replaces it, else beside others who
/// use it. Taken after the store's lock, by everybody.
///
/// # Errors
/// As of [`load`]; or somebody replaces it for longer than a command takes.
pub fn keep(path: &Path, exclusive: bool) -> Result<Kept, KeyringFileError> {
    let how = if exclusive {
        FlockArg::LockExclusiveNonblock
    } else {
        FlockArg::LockSharedNonblock
    };
    for _ in 0..TRIES {
        let file = open(path)?;
        let id = file.metadata().map(|it| (it.dev(), it.ino()));
        match Flock::lock(file, how) {
            Ok(lock) => {
                let keyring = read(path, &lock)?;
                // One that was replaced while we waited is no longer the one to keep.
                let now = open(path)?.metadata().map(|it| (it.dev(), it.ino()));
                if id.is_ok_and(|id| now.is_ok_and(|now| now == id)) {
                    return Ok(Kept { keyring, lock });
                }
            }
            Err((_, Errno::EWOULDBLOCK)) => {}
            Err((_, error)) => return Err(failed(path, "locked", error.into())),
        }
        std::thread::sleep(PAUSE);
    }
    Err(KeyringFileError::Busy(path.to_owned()))
}

/// Reads the keyring. It must be the caller's own file, which nobody else may read or write.
///
/// # Errors
/// There is none, or it is not to be trusted, or not a keyring.
pub fn load(path: &Path) -> Result<Keyring, KeyringFileError> {
    read(path, &open(path)?)
}

fn open(path: &Path) -> Result<File, KeyringFileError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return KeyringFileError::Missing(path.to_owned());
        }
        if error.raw_os_error() == Some(nix::libc::ELOOP) {
            return KeyringFileError::Link(path.to_owned());
        }
        failed(path, "read", error)
    })
}

fn read(path: &Path, file: &File) -> Result<Keyring, KeyringFileError> {
    check_privacy(path, file)?;
    let content = files::read(file, MAX_KEYRING_LEN);
    let content = content.map_err(|source| failed(path, "read", source))?;
    let not_text = |_| failed(path, "read", io::ErrorKind::InvalidData.into());
    let text = std::str::from_utf8(&content).map_err(not_text)?;
    Keyring::parse(text).map_err(|reason| KeyringFileError::Invalid {
        path: path.to_owned(),
        reason,
    })
}

fn check_privacy(path: &Path, file: &File) -> Result<(), KeyringFileError> {
    let metadata = file
        .metadata()
        .map_err(|source| failed(path, "read", source))?;
    let problem = if !metadata.is_file() {
        "is not a file"
    } else if metadata.uid() != geteuid().as_raw() {
        "belongs to somebody else"
    } else if metadata.mode() & 0o077 != 0 {
        "may be read or written by others"
    } else {
        return Ok(());
    };
    Err(KeyringFileError::Open {
        path: path.to_owned(),
        problem,
    })
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> KeyringFileError {
    KeyringFileError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

/// The keyring, as the one provider of this machine: it takes the place of whichever `KeyProvider`
/// a vault names, so that a vault comes from a cluster and goes back with the same key.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Keyring>);

/// Why the keyring cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The operating system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The keyring lacks the key.
    #[error("this is not the keyring that the vault was sealed with: it has no key {0}")]
    UnknownKey(secretvault_keyring::KeyId),
}

impl Keys {
    /// Takes a keyring.
    pub fn new(keyring: Keyring) -> Self {
        Self(Arc::new(keyring))
    }

    /// The keyring.
    pub fn keyring(&self) -> &Keyring {
        &self.0
    }

    /// Unwraps a vault's data key. `None`: it does not open.
    ///
    /// # Errors
    /// It was wrapped with another keyring.
    pub fn open(&self, vault: &VaultBinding<'_>, key: &DataKey) -> Result<Option<Dek>, KeyError> {
        let opened = self
            .0
            .unwrap_data_key(vault, &key.id, &key.key_id, &key.wrapped);
        match opened {
            Ok(dek) => Ok(Some(dek)),
            Err(UnwrapError::DoesNotOpen) => Ok(None),
            Err(UnwrapError::UnknownKey(id)) => Err(KeyError::UnknownKey(id)),
        }
    }

    /// Wraps a data key with the primary key.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn wrap_now(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, KeyError> {
        match self.0.wrap_data_key(vault, id, dek) {
            Ok(wrapped) => Ok(WrappedKey {
                key_id: wrapped.key_id.to_string(),
                wrapped: wrapped.wrapped,
            }),
            // A data key's payload is a quarter of what can be wrapped.
            Err(WrapError::Random(_) | WrapError::TooLarge { .. }) => Err(NoRandomness.into()),
        }
    }
}

impl KeyProvider for Keys {
    type Error = KeyError;

    fn scope(&self) -> &str {
        self.0.id()
    }

    async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, KeyError> {
        self.wrap_now(vault, id, dek)
    }

    async fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Option<Dek>, KeyError> {
        self.open(vault, data_key)
    }
}

impl KeyProviders for Keys {
    type Provider = Self;

    async fn find(&self, _: &str) -> Result<Self, KeyError> {
        Ok(self.clone())
    }
}

/// Ten seconds: longer than any command keeps it.
const TRIES: usize = 200;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn in_directory(test: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        test(&directory.path().join("deep/keyring"));
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_keyring_that_was_made_is_read_again_and_never_made_anew() {
        in_directory(|path| {
            assert!(matches!(load(path), Err(KeyringFileError::Missing(_))));
            let made = create(path, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(load(path).unwrap().id(), made.id());
            let again = create(path, Timestamp::UNIX_EPOCH);
            assert!(matches!(again, Err(KeyringFileError::Exists(_))));
            assert_eq!(load(path).unwrap().id(), made.id());
        });
    }

    #[test]
    fn a_keyring_that_others_may_read_or_write_is_not_used() {
        in_directory(|path| {
            create(path, Timestamp::UNIX_EPOCH).unwrap();
            for mode in [0o640, 0o604, 0o620, 0o602, 0o610] {
                set_mode(path, mode);
                let refused = load(path);
                assert!(
                    matches!(refused, Err(KeyringFileError::Open { .. })),
                    "{mode:o}: {refused:?}"
                );
            }
            set_mode(path, 0o400);
            assert!(load(path).is_ok());
        });
    }

    #[test]
    fn who_replaces_the_keyring_waits_for_those_who_use_it_and_they_see_the_new_one() {
        in_directory(|path| {
            create(path, Timestamp::UNIX_EPOCH).unwrap();
            let (used, beside) = (keep(path, false).unwrap(), keep(path, false).unwrap());
            let own = path.to_owned();
            let replacing = std::thread::spawn(move || {
                let mut kept = keep(&own, true).unwrap();
                kept.keyring.rotate(Timestamp::UNIX_EPOCH).unwrap();
                save(&own, &kept.keyring).unwrap();
                *kept.keyring.primary_id()
            });
            std::thread::sleep(PAUSE * 3);
            assert!(!replacing.is_finished());
            drop((used, beside));
            let primary = replacing.join().unwrap();
            assert_eq!(*keep(path, false).unwrap().keyring.primary_id(), primary);
        });
    }

    #[test]
    fn a_link_to_a_keyring_is_not_followed() {
        in_directory(|path| {
            create(path, Timestamp::UNIX_EPOCH).unwrap();
            let link = path.with_file_name("link");
            std::os::unix::fs::symlink(path, &link).unwrap();
            assert!(matches!(load(&link), Err(KeyringFileError::Link(_))));
        });
    }

    #[test]
    fn what_is_no_keyring_is_told_without_its_content() {
        in_directory(|path| {
            create(path, Timestamp::UNIX_EPOCH).unwrap();
            fs::write(path, "hunter2").unwrap();
            let error = format!("{:#}", anyhow::Error::from(load(path).unwrap_err()));
            assert!(error.contains("is not a keyring") && !error.contains("hunter2"));
        });
    }
}
