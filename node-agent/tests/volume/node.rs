//! A node with one pod, and what can be seen of its volume.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_change, mount_remount,
    unmount,
};
use secretvault_envelope::Plaintext;
use secretvault_node_agent::volume::{Layer, TargetPath, VolumeError};
use secretvault_volume::{Change, Contents, File, GenerationName};

/// A node with one pod, whose directory is shared as kubelet's is.
pub(crate) struct Node {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) layer: Layer,
}

/// Runs a test alone in a mount namespace: nothing that it mounts outlives its thread.
pub(crate) fn on_a_node(test: impl FnOnce(&Node) + Send + 'static) {
    let alone = thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root");
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", all).unwrap();
        let directory = tempfile::tempdir().unwrap();
        mount_bind(directory.path(), directory.path()).unwrap();
        mount_change(directory.path(), MountPropagationFlags::SHARED).unwrap();
        let layer = Layer::open(directory.path()).unwrap();
        let node = Node { directory, layer };
        fs::create_dir_all(node.path().parent().unwrap()).unwrap();
        test(&node);
        let _ = unmount(node.directory.path(), UnmountFlags::DETACH);
    });
    alone.join().unwrap();
}

impl Node {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory
            .path()
            .join("pods/uid-1/volumes/kubernetes.io~csi/secrets/mount")
    }

    pub(crate) fn target(&self) -> TargetPath {
        TargetPath::parse(self.directory.path(), self.path().to_str().unwrap()).unwrap()
    }

    pub(crate) fn attach(&self, contents: &Contents) -> Result<(), VolumeError> {
        self.layer.attach(&self.target(), contents, &name())
    }

    pub(crate) fn update(&self, contents: &Contents) -> Result<Change, VolumeError> {
        let volume = self.layer.attached(&self.target())?.expect("attached");
        volume.update(contents, volume.room_to_change(contents)?, &name())
    }

    pub(crate) fn remove(&self) -> Result<(), VolumeError> {
        self.layer.remove(&self.target())
    }

    /// The mounts at the target, as lines of mountinfo.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let wanted = format!(" {} ", self.path().display());
        text.lines()
            .filter(|line| line.contains(&wanted))
            .map(str::to_owned)
            .collect()
    }

    /// What a reader sees: path to content, links followed.
    pub(crate) fn read(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        collect(&self.path(), "", &mut found);
        found
    }

    pub(crate) fn generations(&self) -> Vec<String> {
        let names = fs::read_dir(self.path())
            .unwrap()
            .map(|e| e.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| name.starts_with("..2")).collect()
    }
}

fn collect(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = directory.join(&name);
        if name.starts_with("..") {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), found);
        } else {
            found.insert(
                format!("{prefix}{name}"),
                fs::read_to_string(&path).unwrap(),
            );
        }
    }
}

pub(crate) fn name() -> GenerationName {
    GenerationName::new(jiff::Timestamp::now(), getrandom::u32().unwrap())
}

pub(crate) fn file(content: &[u8]) -> File {
    File {
        uid: 0,
        gid: 0,
        mode: "0444".parse().unwrap(),
        content: std::sync::Arc::new(Plaintext::from(content)),
    }
}

pub(crate) fn contents(files: &[(&str, &str)]) -> Contents {
    let files = files
        .iter()
        .map(|(path, text)| (path.parse().unwrap(), file(text.as_bytes())));
    Contents::new(files).unwrap()
}

pub(crate) fn one(file: File) -> Contents {
    Contents::new([("a".parse().unwrap(), file)]).unwrap()
}

pub(crate) fn files(found: &[(&str, &str)]) -> BTreeMap<String, String> {
    found
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

/// The volume at another place, writable, as a crashed agent had it.
pub(crate) fn writable(node: &Node) -> PathBuf {
    let place = node.directory.path().join("writable");
    fs::create_dir(&place).unwrap();
    mount_change(node.directory.path(), MountPropagationFlags::PRIVATE).unwrap();
    mount_bind(node.path(), &place).unwrap();
    mount_remount(&place, MountFlags::BIND, "").unwrap();
    place
}
