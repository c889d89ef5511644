//! What the rest of the agent does with volumes. Everything here blocks.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, fstatfs, mkdirat, unlinkat},
    io::Errno,
    param::page_size,
};

use super::{
    Contents, KubeletDir, Room, TargetPath, VolumeError, generation,
    mount::{self, Occupant},
    mountinfo, size,
    wipe::{self, Overwrite},
};

/// The volumes of this node, as the kernel has them: nothing is remembered here.
#[derive(Debug)]
pub struct Layer {
    kubelet: KubeletDir,
    noswap: bool,
}

/// A volume that is attached and ours.
#[derive(Debug)]
pub struct Attached {
    target: TargetPath,
    root: OwnedFd,
}

/// What an update came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new generation is in force.
    Swapped,
    /// Content, owners and modes were right already.
    Unchanged,
}

/// How full a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What it may hold.
    pub room: Room,
    /// What it holds.
    pub used: Room,
}

impl Layer {
    /// Opens kubelet's directory, and asks the kernel once whether it has tmpfs without swap.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn open(kubelet_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            kubelet: KubeletDir::open(kubelet_dir)?,
            noswap: mount::noswap_works(),
        })
    }

    /// Whether values can reach a swap device: not if this is true.
    pub fn noswap(&self) -> bool {
        self.noswap
    }

    /// The directory that targets lie in.
    pub fn kubelet_dir(&self) -> &Path {
        self.kubelet.path()
    }

    /// The targets on which a volume of ours is attached.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn targets(&self) -> io::Result<Vec<TargetPath>> {
        let ours = mountinfo::read()?
            .into_iter()
            .filter(|mount| mount.is_named(mount::SOURCE));
        let mut targets: Vec<TargetPath> = ours
            .filter_map(|mount| TargetPath::parse(self.kubelet.path(), mount.point.to_str()?).ok())
            .collect();
        targets.sort();
        targets.dedup();
        Ok(targets)
    }

    /// The volume at a target. `None`: nothing is attached there.
    ///
    /// # Errors
    /// Something else is there.
    pub fn attached(&self, target: &TargetPath) -> Result<Option<Attached>, VolumeError> {
        let Some(parent) = self.parent(target)? else {
            return Ok(None);
        };
        match inspect(&parent, target)? {
            Occupant::Directory | Occupant::Missing => Ok(None),
            Occupant::Foreign => Err(VolumeError::Foreign {
                target: target.clone(),
            }),
            Occupant::Ours(root) => Ok(Some(Attached {
                target: target.clone(),
                root,
            })),
        }
    }

    /// The room that a volume with these contents needs.
    pub fn room_for(&self, contents: &Contents) -> Room {
        size::at_rest(contents, page_size() as u64)
    }

    /// Makes a volume and attaches it, filled, at a target on which nothing is mounted. A
    /// directory that is there already is taken as it is.
    ///
    /// # Guarantees
    /// Nobody ever sees a part of the contents, a wrong owner or mode, or a writable mount. After
    /// an error nothing is attached.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn attach(
        &self,
        target: &TargetPath,
        contents: &Contents,
        name: &GenerationName,
    ) -> Result<(), VolumeError> {
        let failed = |doing| failure(doing, target);
        let parent = self.parent(target)?.ok_or_else(|| VolumeError::NoParent {
            target: target.clone(),
        })?;
        let filled = self.filled(contents, name).map_err(failed("write"))?;
        match mkdirat(&parent, mount_name(), Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make")(error.into())),
        }
        mount::attach(&filled, parent.as_fd()).map_err(failed("mount"))
    }

    /// Empties the volume at a target, detaches it, and removes the directory.
    ///
    /// # Guarantees
    /// A copy of the mount that leaked elsewhere is empty too. Nothing is done twice: a target
    /// without a volume is only removed, a missing one is fine.
    ///
    /// # Errors
    /// Something else is there, which stays as it is.
    pub fn remove(&self, target: &TargetPath) -> Result<(), VolumeError> {
        let Some(parent) = self.parent(target)? else {
            return Ok(());
        };
        for _ in 0..MOST_STACKED {
            match inspect(&parent, target)? {
                Occupant::Missing => return Ok(()),
                Occupant::Directory => {
                    let removed = unlinkat(&parent, mount_name(), AtFlags::REMOVEDIR);
                    return removed.map_err(|error| failure("remove", target)(error.into()));
                }
                Occupant::Foreign => break,
                Occupant::Ours(root) => {
                    // A value that could not be overwritten must not stay mounted for it.
                    let emptied = empty(&root).map_err(failure("empty", target));
                    mount::detach(parent.as_fd()).map_err(failure("unmount", target))?;
                    emptied?;
                }
            }
        }
        Err(VolumeError::Foreign {
            target: target.clone(),
        })
    }

    fn parent(&self, target: &TargetPath) -> Result<Option<OwnedFd>, VolumeError> {
        self.kubelet
            .parent_of(target)
            .map_err(failure("find", target))
    }

    fn filled(&self, contents: &Contents, name: &GenerationName) -> io::Result<OwnedFd> {
        let mount = mount::create(self.room_for(contents), self.noswap)?;
        generation::prepare_root(mount.as_fd())?;
        generation::write(mount.as_fd(), &name.0, contents)?;
        generation::enter(mount.as_fd(), &name.0, contents)?;
        Ok(mount)
    }
}

impl Attached {
    /// How full the volume is.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn usage(&self) -> Result<Usage, VolumeError> {
        usage(&self.root).map_err(self.failed("measure"))
    }

    /// What the volume holds now.
    ///
    /// # Errors
    /// As the kernel answers; or somebody else has written there.
    pub fn contents(&self) -> Result<Contents, VolumeError> {
        self.read().map_err(self.failed("read"))
    }

    /// The room that the volume needs while these contents take the place of what it holds.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn room_to_change(&self, contents: &Contents) -> Result<Room, VolumeError> {
        let (usage, page) = (self.usage()?, page_size() as u64);
        let beside = size::beside(usage.used, contents, page);
        // Not less than a new volume would get: what can be changed can also be attached anew.
        Ok(beside.max(size::at_rest(contents, page)).max(usage.room))
    }

    /// Puts these contents in the place of what the volume holds, all at once.
    ///
    /// # Guarantees
    /// The pod's mount is read-only all the time. After an error the last generation is in force.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn update(
        &self,
        contents: &Contents,
        room: Room,
        name: &GenerationName,
    ) -> Result<Change, VolumeError> {
        self.swap(contents, room, name)
            .map_err(self.failed("update"))
    }

    fn swap(&self, contents: &Contents, room: Room, name: &GenerationName) -> io::Result<Change> {
        let clone = mount::writable_clone(&self.root)?;
        let root = clone.as_fd();
        let last = generation::current(root)?;
        generation::remove_others(root, last.as_deref())?;
        if last.is_some() && self.read().is_ok_and(|held| held == *contents) {
            generation::link_top_names(root, &contents.top_names())?;
            return Ok(Change::Unchanged);
        }
        mount::resize(&clone, room)?;
        generation::write(root, &name.0, contents)?;
        generation::enter(root, &name.0, contents)?;
        generation::remove_others(root, Some(&name.0))?;
        // Fails while a reader holds the last generation open; the next update tries again.
        let _ = mount::resize(&clone, size::at_rest(contents, page_size() as u64));
        Ok(Change::Swapped)
    }

    fn read(&self) -> io::Result<Contents> {
        let root = generation::open_directory(self.root.as_fd(), ".")?;
        match generation::current(root.as_fd())? {
            Some(name) => generation::read(root.as_fd(), &name),
            None => Ok(Contents::default()),
        }
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> VolumeError {
        failure(doing, &self.target)
    }
}

/// What a generation's directory is called.
#[derive(Clone, Debug)]
pub struct GenerationName(String);

impl GenerationName {
    /// As Kubernetes' AtomicWriter names them: by time, for people, and by chance, so that no two
    /// are the same.
    pub fn new(now: jiff::Timestamp, chance: u32) -> Self {
        Self(format!(
            "..{}.{chance:08x}",
            now.strftime("%Y_%m_%d_%H_%M_%S")
        ))
    }
}

fn inspect(parent: &OwnedFd, target: &TargetPath) -> Result<Occupant, VolumeError> {
    mount::inspect(parent.as_fd()).map_err(failure("look at", target))
}

fn empty(root: &OwnedFd) -> io::Result<()> {
    let clone = mount::writable_clone(root)?;
    wipe::clear(clone.as_fd(), Overwrite::Always)
}

fn usage(root: &OwnedFd) -> io::Result<Usage> {
    let status = fstatfs(root)?;
    let block = u64::try_from(status.f_bsize).map_err(io::Error::other)?;
    let room = Room {
        bytes: status.f_blocks * block,
        inodes: status.f_files,
    };
    let used = Room {
        bytes: status.f_blocks.saturating_sub(status.f_bfree) * block,
        inodes: status.f_files.saturating_sub(status.f_ffree),
    };
    Ok(Usage { room, used })
}

fn failure(doing: &'static str, target: &TargetPath) -> impl FnOnce(io::Error) -> VolumeError {
    let target = target.clone();
    move |source| VolumeError::Io {
        doing,
        target,
        source,
    }
}

fn mount_name() -> &'static str {
    super::target::MOUNT
}

/// We never stack mounts; this many are taken away where somebody did.
const MOST_STACKED: usize = 8;
