//! The directory of vaults: one YAML file for each, which holds envelopes and no plain value, so
//! that `kubectl apply -f DIR` moves all of them to a cluster that has the same key.
//!
//! # Guarantees
//! * A file is there whole or not at all, whenever the power goes.
//! * One writer at a time; readers need no lock.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::fcntl::{Flock, FlockArg};
use secretvault_vault::{VaultRef, names};
use thiserror::Error;

use crate::{files, object::Object, yaml};

/// A directory of vaults.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// A store that nobody else writes to. Ends when it drops, or when the process does.
#[derive(Debug)]
pub struct Writing<'a> {
    store: &'a Store,
    _lock: Flock<File>,
}

/// A vault as it is stored.
#[derive(Clone)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// When its file was written.
    pub updated: SystemTime,
}

/// What can go wrong with the store. No message holds a value.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds the lock.
    #[error("another process is writing to {}: try again when it is done", .0.display())]
    Busy(PathBuf),
    /// A file holds another vault than its name says.
    #[error("{} holds the vault {found}: its name must be that of its vault", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: VaultRef,
    },
    /// There is no such directory.
    #[error("there is no store at {}: `secretvault init` makes one, or give --store DIR", .0.display())]
    Missing(PathBuf),
    /// A file is no object.
    #[error("{} is not a SecretVault: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: yaml::YamlError,
    },
    /// An object that cannot be written.
    #[error("vault {0} cannot be written as YAML")]
    Unwritable(VaultRef),
    /// The kernel refused.
    #[error("{} cannot be {doing}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

impl Store {
    /// Makes the directory, if it is not there.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn create(directory: &Path) -> Result<Self, StoreError> {
        let made = files::make_private_directory(directory);
        made.map_err(|source| failed(directory, "written", source))?;
        Self::open(directory)
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// There is none.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        // Absolute, so that it stays the same one whatever becomes of the working directory.
        match fs::canonicalize(directory) {
            Ok(directory) => Ok(Self { directory }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Missing(directory.to_owned()))
            }
            Err(source) => Err(failed(directory, "read", source)),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps other writers out.
    ///
    /// # Errors
    /// Somebody else is writing for longer than a command takes.
    pub fn lock(&self) -> Result<Writing<'_>, StoreError> {
        let path = self.directory.join(LOCK);
        let unwritten = |source| failed(&path, "written", source);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(unwritten)?;
        for _ in 0..TRIES {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => {
                    return Ok(Writing {
                        store: self,
                        _lock: lock,
                    });
                }
                Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
                Err((_, error)) => return Err(unwritten(error.into())),
            }
            std::thread::sleep(PAUSE);
        }
        Err(StoreError::Busy(self.directory.clone()))
    }

    /// The vault of this name.
    ///
    /// # Errors
    /// Its file cannot be read, or is no vault.
    pub fn read(&self, vault: &VaultRef) -> Result<Option<Stored>, StoreError> {
        let path = self.path(vault);
        match File::open(&path) {
            Ok(file) => read(&path, &file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path, "read", source)),
        }
    }

    /// All vaults, by namespace and name.
    ///
    /// # Errors
    /// A file cannot be read, or is no vault.
    pub fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let mut vaults = Vec::new();
        for vault in self.names()? {
            vaults.extend(self.read(&vault)?);
        }
        Ok(vaults)
    }

    /// The names of all vaults, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<VaultRef>, StoreError> {
        let unread = |source| failed(&self.directory, "read", source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(unread)? {
            let name = entry.map_err(unread)?.file_name();
            names.extend(name.to_str().and_then(named));
        }
        names.sort();
        Ok(names)
    }

    fn path(&self, vault: &VaultRef) -> PathBuf {
        let name = format!("{}.{}{EXTENSION}", vault.namespace, vault.name);
        self.directory.join(name)
    }
}

impl Writing<'_> {
    /// Stores a vault, in place of the one of its name. Its values are sealed: the caller's part.
    ///
    /// # Errors
    /// It cannot be written; the one before is there still.
    pub fn write(&self, object: &Object) -> Result<(), StoreError> {
        let vault = object.reference();
        let text = yaml::write(object).map_err(|_| StoreError::Unwritable(vault.clone()))?;
        let path = self.store.path(&vault);
        let written = files::replace(&path, text.as_bytes());
        written.map_err(|source| failed(&path, "written", source))
    }

    /// Deletes a vault. One that is not there is fine.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn delete(&self, vault: &VaultRef) -> Result<(), StoreError> {
        let path = self.store.path(vault);
        files::remove(&path).map_err(|source| failed(&path, "written", source))
    }
}

fn read(path: &Path, file: &File) -> Result<Stored, StoreError> {
    let unread = |source| failed(path, "read", source);
    let updated = file.metadata().and_then(|it| it.modified());
    let updated = updated.map_err(unread)?;
    let content = files::read(file, MAX_FILE).map_err(unread)?;
    let object = yaml::read_object(&content).map_err(|reason| StoreError::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    let found = object.reference();
    let named = path.file_name().and_then(|name| named(name.to_str()?));
    if named.as_ref() != Some(&found) {
        return Err(StoreError::Misnamed {
            path: path.to_owned(),
            found,
        });
    }
    Ok(Stored { object, updated })
}

/// The vault whose file bears this name. A namespace has no dot, so there is one way to read it.
fn named(file: &str) -> Option<VaultRef> {
    let (namespace, name) = file.strip_suffix(EXTENSION)?.split_once('.')?;
    let valid = names::is_dns_label(namespace) && names::is_dns_subdomain(name);
    valid.then(|| VaultRef::new(namespace, name))
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

const EXTENSION: &str = ".yaml";
const LOCK: &str = ".lock";

/// What etcd takes, and as much for the form of YAML.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Ten seconds: longer than any command holds the lock.
const TRIES: usize = 200;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vault(name: &str) -> Object {
        let mut object = Object::new(&VaultRef::new("shop", name));
        object.spec = json!({"data": {"db/password": "sv1:AAAA"}});
        object
    }

    fn with_store(test: impl FnOnce(&Store)) {
        let directory = tempfile::tempdir().unwrap();
        test(&Store::create(&directory.path().join("a/store")).unwrap());
    }

    fn names(store: &Store) -> Vec<String> {
        let names = store.names().unwrap();
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_written_is_read_listed_and_deleted() {
        with_store(|store| {
            let (app, other) = (vault("app"), vault("app.v2"));
            let writing = store.lock().unwrap();
            writing.write(&other).unwrap();
            writing.write(&app).unwrap();
            assert_eq!(names(store), ["shop/app", "shop/app.v2"]);
            let read = store.read(&app.reference()).unwrap().unwrap();
            assert_eq!(read.object.spec, app.spec);
            writing.delete(&app.reference()).unwrap();
            writing.delete(&app.reference()).unwrap();
            assert!(store.read(&app.reference()).unwrap().is_none());
            assert_eq!(names(store), ["shop/app.v2"]);
        });
    }

    #[test]
    fn files_that_are_no_vaults_are_not_looked_at() {
        with_store(|store| {
            for name in [
                ".shop.app.yaml.unfinished",
                "README",
                "x.yaml",
                ".lock",
                "A.b.yaml",
            ] {
                fs::write(store.directory().join(name), "").unwrap();
            }
            assert_eq!(names(store), [""; 0]);
        });
    }

    #[test]
    fn a_file_that_holds_another_vault_is_refused_by_name() {
        with_store(|store| {
            store.lock().unwrap().write(&vault("app")).unwrap();
            let directory = store.directory();
            fs::copy(
                directory.join("shop.app.yaml"),
                directory.join("shop.b.yaml"),
            )
            .unwrap();
            let error = store.list().err().unwrap().to_string();
            assert!(
                error.contains("shop.b.yaml holds the vault shop/app"),
                "{error}"
            );
        });
    }

    #[test]
    fn a_second_writer_waits_until_the_first_is_done() {
        with_store(|store| {
            let first = store.lock().unwrap();
            let other = store.clone();
            let waiting = std::thread::spawn(move || other.lock().map(drop));
            std::thread::sleep(PAUSE * 3);
            assert!(!waiting.is_finished());
            drop(first);
            waiting.join().unwrap().unwrap();
        });
    }
}
