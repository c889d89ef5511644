//! What is remembered of each volume, so that an agent that was killed serves its volumes on: the
//! newest token of the pod, what was asked for, what is held. In a 0700 directory on a tmpfs that
//! outlives the container, never on a disk.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustix::fs::statfs;
use secretvault_volume::TMPFS;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    csi::{Attributes, PodReference, PodToken, PublishRequest},
    release::Held,
    volume::TargetPath,
};

/// One volume of one pod.
#[derive(Clone, Debug)]
pub struct Record {
    /// What kubelet asked for last. Shared, so that the token is there only once.
    pub request: Arc<PublishRequest>,
    /// What the volume holds.
    pub held: Held,
}

/// The directory of records.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    kubelet_dir: PathBuf,
}

impl Store {
    /// Opens the state directory.
    ///
    /// # Errors
    /// It is not on a tmpfs: what is kept here must never reach a disk.
    pub fn open(state_dir: &Path, kubelet_dir: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Io {
            path: state_dir.to_owned(),
            source,
        };
        let filesystem = statfs(state_dir)
            .map_err(|error| failed(error.into()))?
            .f_type;
        if filesystem != TMPFS && filesystem != RAMFS {
            return Err(StateError::OnDisk(state_dir.to_owned()));
        }
        let directory = state_dir.join("volumes");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.and_then(|()| private(&directory)).map_err(failed)?;
        Ok(Self {
            directory,
            kubelet_dir: kubelet_dir.to_owned(),
        })
    }

    /// Remembers a volume, in place of what was known of it.
    ///
    /// # Errors
    /// There is no room. What was known stays.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.request.target);
        let next = path.with_extension("next");
        wipe(&next)?;
        let text = encode(record)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(&text)?;
        let last = fs::OpenOptions::new().write(true).open(&path);
        fs::rename(&next, &path)?;
        match last {
            Ok(last) => zero(last),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Forgets a volume.
    ///
    /// # Errors
    /// As the kernel answers. A volume that is not known is fine.
    pub fn forget(&self, target: &TargetPath) -> io::Result<()> {
        wipe(&self.path(target))
    }

    /// All that is remembered. What cannot be read is wiped: kubelet will tell it again.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let text = Zeroizing::new(fs::read(&path)?);
            match decode(&text, &self.kubelet_dir) {
                Some(record) if self.path(&record.request.target) == path => records.push(record),
                Some(_) | None => wipe(&path)?,
            }
        }
        Ok(records)
    }

    fn path(&self, target: &TargetPath) -> PathBuf {
        let hash = Sha256::digest(target.to_string());
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(name).with_extension("json")
    }
}

/// Why there is no state to work with.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The kernel refused.
    #[error("cannot use the state directory {path}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The directory is on a disk.
    #[error(
        "the state directory {0} is not on a tmpfs: tokens would reach a disk; \
         mount a hostPath below /run there"
    )]
    OnDisk(PathBuf),
}

/// The form on the tmpfs. Tokens are serialised here and nowhere else.
#[derive(Serialize, Deserialize)]
struct Stored {
    target: String,
    pod: PodReference,
    token: Zeroizing<String>,
    expires: Option<Timestamp>,
    attributes: Attributes,
    group: Option<u32>,
    held: Held,
}

fn encode(record: &Record) -> io::Result<Zeroizing<Vec<u8>>> {
    let request = &record.request;
    let stored = Stored {
        target: request.target.to_string(),
        pod: request.pod.clone(),
        token: Zeroizing::new(request.token.expose().to_owned()),
        expires: request.token.expires(),
        attributes: request.attributes.clone(),
        group: request.group,
        held: record.held.clone(),
    };
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &stored)?;
    // At its final size at once: growth would leave copies of the token behind.
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, &stored)?;
    Ok(text)
}

fn decode(text: &[u8], kubelet_dir: &Path) -> Option<Record> {
    let stored: Stored = serde_json::from_slice(text).ok()?;
    let target = kubelet_dir.join(&stored.target);
    let request = PublishRequest {
        target: TargetPath::parse(kubelet_dir, target.to_str()?).ok()?,
        pod: stored.pod,
        token: PodToken::new(stored.token, stored.expires),
        attributes: stored.attributes,
        group: stored.group,
    };
    let held = Some(stored.held).filter(Held::is_consistent)?;
    Some(Record {
        request: Arc::new(request),
        held,
    })
}

struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A directory that was there before may have had another mode.
fn private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}

fn wipe(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).open(path) {
        Ok(file) => {
            fs::remove_file(path)?;
            zero(file)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn zero(mut file: fs::File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    file.write_all(&vec![0; length])
}

/// `statfs` type of ramfs.
const RAMFS: rustix::fs::FsWord = 0x8584_58f6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csi::{self, TokenPlace};

    fn record(held: Held) -> Record {
        let request = csi::request::tests::request();
        let target =
            csi::request::target(Path::new("/k"), &request.volume_id, &request.target_path);
        let request =
            PublishRequest::parse(target.unwrap(), &request, TokenPlace::Secrets).unwrap();
        Record {
            request: Arc::new(request),
            held,
        }
    }

    /// `/dev/shm` is a tmpfs everywhere.
    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let store = Store::open(directory.path(), Path::new("/k")).unwrap();
        (directory, store)
    }

    #[test]
    fn what_was_saved_is_found_again() {
        let (_directory, store) = store();
        store.save(&record(Held::default())).unwrap();
        store.save(&record(Held::default())).unwrap();
        let found = store.load().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].request.token.expose(), "t");
        assert_eq!(found[0].request.pod.name, "web-0");
        assert_eq!(found[0].request.attributes.vaults, "app");
    }

    #[test]
    fn what_was_forgotten_is_gone() {
        let (_directory, store) = store();
        let record = record(Held::default());
        store.save(&record).unwrap();
        store.forget(&record.request.target).unwrap();
        store.forget(&record.request.target).unwrap();
        assert!(store.load().unwrap().is_empty());
        assert_eq!(fs::read_dir(&store.directory).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_wiped() {
        let (_directory, store) = store();
        store.save(&record(Held::default())).unwrap();
        let path = store.path(&record(Held::default()).request.target);
        fs::copy(&path, path.with_file_name("another.json")).unwrap();
        fs::write(path.with_file_name("torn.next"), "{\"tar").unwrap();
        assert_eq!(store.load().unwrap().len(), 1);
        assert_eq!(fs::read_dir(&store.directory).unwrap().count(), 1);
    }

    #[test]
    fn only_root_may_look() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, store) = store();
        let record = record(Held::default());
        store.save(&record).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.directory), 0o700);
        assert_eq!(mode(&store.path(&record.request.target)), 0o600);
    }

    #[test]
    fn a_state_directory_on_a_disk_is_refused() {
        let on_disk = Store::open(Path::new("/proc"), Path::new("/k"));
        assert!(matches!(on_disk, Err(StateError::OnDisk(_))));
    }
}
