//! What a running command leaves in its own `/run` for later updates: which store and which wish
//! its files are of, and what they are. Names only, never a value.
//!
//! It is JSON in `run.json`, in a directory that only its owner may enter. It goes with the
//! command's mount namespace.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
    path::PathBuf,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, renameat, unlinkat},
    io::Errno,
};
use secretvault_vault::{EntryName, FilePath, Held, HeldFile, HeldVault, OnDelete, VaultRef};
use serde::{Deserialize, Serialize};

use crate::{selection::Wish, store::Store};

/// What is known about a running command's files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Where the files come from.
    #[serde(flatten)]
    place: Place,
    /// What was asked for.
    wish: Wish,
    /// The vaults that the files are of.
    vaults: Vec<MarkedVault>,
    /// The files.
    files: Vec<MarkedFile>,
}

impl Marker {
    /// Notes what a command holds.
    ///
    /// # Errors
    /// The store's directory is not there any more.
    pub(super) fn new(store: &Store, wish: Wish, held: &Held) -> io::Result<Self> {
        Ok(Self {
            place: Place::of(store)?,
            wish,
            vaults: held.vaults.iter().map(MarkedVault::from).collect(),
            files: held.files.iter().map(MarkedFile::from).collect(),
        })
    }

    /// Reads the marker in a directory.
    ///
    /// # Errors
    /// There is none that `uid` alone has written, or it is of another version of this program.
    pub(super) fn read(directory: BorrowedFd<'_>, uid: u32) -> io::Result<Self> {
        Ok(serde_json::from_slice(&content(directory, uid)?)?)
    }

    /// Whether the marker in a directory is about this store, whatever else it says: also if it is
    /// of another version of this program.
    ///
    /// # Errors
    /// There is none that `uid` alone has written.
    pub(super) fn is_of(store: &Store, directory: BorrowedFd<'_>, uid: u32) -> io::Result<bool> {
        let place: Place = serde_json::from_slice(&content(directory, uid)?)?;
        Ok(place == Place::of(store)?)
    }

    /// Writes the marker in a directory, in place of the one that is there.
    ///
    /// # Errors
    /// As the kernel answers; the one before is there still.
    pub(super) fn write(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        match unlinkat(directory, NEXT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat2(directory, NEXT, flags, Mode::RUSR | Mode::WUSR, HERE)?;
        File::from(file).write_all(&serde_json::to_vec(self)?)?;
        Ok(renameat(directory, NEXT, directory, NAME)?)
    }

    /// What was asked for.
    pub(super) fn wish(&self) -> &Wish {
        &self.wish
    }

    /// What the command holds.
    ///
    /// # Errors
    /// A vault's name is none.
    pub(super) fn held(&self) -> io::Result<Held> {
        let vaults = self.vaults.iter().map(HeldVault::try_from);
        let files = self.files.iter().cloned();
        Ok(Held {
            vaults: vaults.collect::<io::Result<_>>()?,
            files: files.map(HeldFile::from).collect(),
        })
    }
}

/// A store: by its absolute path, and by device and inode, since a container has other directories
/// with the same paths.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    store: PathBuf,
    directory: (u64, u64),
}

impl Place {
    fn of(store: &Store) -> io::Result<Self> {
        let metadata = fs::metadata(store.directory())?;
        Ok(Self {
            store: store.directory().to_owned(),
            directory: (metadata.dev(), metadata.ino()),
        })
    }
}

/// [`HeldVault`], as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct MarkedVault {
    name: String,
    uid: String,
    generation: i64,
    retain: bool,
}

impl From<&HeldVault> for MarkedVault {
    fn from(vault: &HeldVault) -> Self {
        Self {
            name: vault.reference.to_string(),
            uid: vault.uid.clone(),
            generation: vault.generation,
            retain: vault.on_delete == OnDelete::Retain,
        }
    }
}

impl TryFrom<&MarkedVault> for HeldVault {
    type Error = io::Error;

    fn try_from(vault: &MarkedVault) -> io::Result<Self> {
        let on_delete = if vault.retain {
            OnDelete::Retain
        } else {
            OnDelete::Remove
        };
        Ok(Self {
            reference: VaultRef::parse("", &vault.name).map_err(io::Error::other)?,
            uid: vault.uid.clone(),
            generation: vault.generation,
            on_delete,
        })
    }
}

/// [`HeldFile`], as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MarkedFile {
    vault: usize,
    entry: EntryName,
    path: FilePath,
}

impl From<&HeldFile> for MarkedFile {
    fn from(file: &HeldFile) -> Self {
        Self {
            vault: file.vault,
            entry: file.entry.clone(),
            path: file.path.clone(),
        }
    }
}

impl From<MarkedFile> for HeldFile {
    fn from(file: MarkedFile) -> Self {
        Self {
            vault: file.vault,
            entry: file.entry,
            path: file.path,
        }
    }
}

/// Reads the marker's file, if it is one that nobody else can have written.
fn content(directory: BorrowedFd<'_>, uid: u32) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat2(directory, NAME, flags, Mode::empty(), HERE)?;
    let status = fstat(&file)?;
    let is_file = FileType::from_raw_mode(status.st_mode).is_file();
    if !is_file || status.st_uid != uid || status.st_mode & 0o077 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut content = Vec::new();
    File::from(file)
        .take(MAX_LENGTH)
        .read_to_end(&mut content)?;
    Ok(content)
}

const NAME: &str = "run.json";
const NEXT: &str = "run.json.next";

/// A thousand items and a file for each of the entries of sixteen vaults are less.
const MAX_LENGTH: u64 = 16 * 1024 * 1024;

const HERE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

#[cfg(test)]
mod tests {
    use std::{
        os::{
            fd::AsFd,
            unix::fs::{PermissionsExt, symlink},
        },
        path::Path,
    };

    use rustix::process::geteuid;

    use super::*;

    fn held() -> Held {
        let vault = |name: &str, on_delete| HeldVault {
            reference: VaultRef::new("shop", name),
            uid: format!("uid of {name}"),
            generation: 7,
            on_delete,
        };
        Held {
            vaults: vec![vault("app", OnDelete::Remove), vault("b", OnDelete::Retain)],
            files: vec![HeldFile {
                vault: 1,
                entry: "db/password".parse().unwrap(),
                path: "password".parse().unwrap(),
            }],
        }
    }

    fn wish() -> Wish {
        Wish {
            vaults: "app,b".to_owned(),
            items: String::new(),
            uid: Some(5),
            gid: None,
            mode: Some("0400".to_owned()),
            namespace: "shop".to_owned(),
            account: "web".to_owned(),
            user: "me".to_owned(),
        }
    }

    /// Runs a test with a marker, and its store, in a directory.
    fn with_marker(test: impl FnOnce(&Path, BorrowedFd<'_>)) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("store")).unwrap();
        let opened = File::open(directory.path()).unwrap();
        let marker = Marker::new(&store, wish(), &held()).unwrap();
        marker.write(opened.as_fd()).unwrap();
        test(directory.path(), opened.as_fd());
    }

    fn own() -> u32 {
        geteuid().as_raw()
    }

    #[test]
    fn what_is_written_is_read() {
        with_marker(|_, opened| {
            let marker = Marker::read(opened, own()).unwrap();
            assert_eq!((marker.held().unwrap(), marker.wish()), (held(), &wish()));
        });
    }

    #[test]
    fn its_store_is_known_and_another_one_at_the_same_path_is_another_one() {
        with_marker(|directory, opened| {
            let is_of = |store: Store| Marker::is_of(&store, opened, own()).unwrap();
            let (path, moved) = (directory.join("store"), directory.join("moved"));
            assert!(is_of(Store::open(&path).unwrap()));
            fs::rename(&path, &moved).unwrap();
            assert!(!is_of(Store::create(&path).unwrap()));
            assert!(!is_of(Store::open(&moved).unwrap()));
        });
    }

    #[test]
    fn one_that_somebody_else_could_have_written_is_not_read() {
        with_marker(|directory, opened| {
            assert!(Marker::read(opened, own() + 1).is_err());
            let path = directory.join(NAME);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
            let error = Marker::read(opened, own()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn a_link_is_not_followed() {
        with_marker(|directory, opened| {
            fs::rename(directory.join(NAME), directory.join("other")).unwrap();
            symlink("other", directory.join(NAME)).unwrap();
            assert!(Marker::read(opened, own()).is_err());
        });
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        with_marker(|directory, opened| {
            fs::write(directory.join(NEXT), "hal").unwrap();
            Marker::read(opened, own()).unwrap().write(opened).unwrap();
            assert!(Marker::read(opened, own()).is_ok() && !directory.join(NEXT).exists());
        });
    }
}
