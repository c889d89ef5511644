//! What the rest of the agent does with volumes. Everything here blocks.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, mkdirat, unlinkat},
    io::Errno,
};
use secretvault_volume::{
    Change, Contents, GenerationName, Room, SOURCE, Usage, Volume, mountinfo, noswap_works,
};

use super::{
    KubeletDir, TargetPath, VolumeError,
    known::Known,
    occupant::{self, Occupant},
    target::MOUNT,
};

/// The volumes of this node, as the kernel has them: nothing is remembered here but which mounts
/// are ours.
#[derive(Debug)]
pub struct Layer {
    kubelet: KubeletDir,
    noswap: bool,
    known: Known,
}

/// A volume that is attached and ours.
#[derive(Debug)]
pub struct Attached {
    target: TargetPath,
    volume: Volume,
}

impl Layer {
    /// Opens kubelet's directory, and asks the kernel once whether it has tmpfs without swap.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn open(kubelet_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            kubelet: KubeletDir::open(kubelet_dir)?,
            noswap: noswap_works(),
            known: Known::default(),
        })
    }

    /// Whether values can reach a swap device: not if this is true.
    pub fn noswap(&self) -> bool {
        self.noswap
    }

    /// The targets on which a volume of ours is attached.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn targets(&self) -> io::Result<Vec<TargetPath>> {
        let ours = mountinfo::read()?
            .into_iter()
            .filter(|mount| mount.is_named(SOURCE));
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
        match self.inspect(&parent, target)? {
            Occupant::Directory | Occupant::Missing => Ok(None),
            Occupant::Foreign => Err(VolumeError::Foreign {
                target: target.clone(),
            }),
            Occupant::Ours(volume) => Ok(Some(Attached {
                target: target.clone(),
                volume,
            })),
        }
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
        let volume = Volume::create(contents, name, self.noswap).map_err(failed("write"))?;
        match mkdirat(&parent, MOUNT, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make")(error.into())),
        }
        volume
            .attach(parent.as_fd(), MOUNT)
            .map_err(failed("mount"))
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
            match self.inspect(&parent, target)? {
                Occupant::Missing => return Ok(()),
                Occupant::Directory => {
                    let removed = unlinkat(&parent, MOUNT, AtFlags::REMOVEDIR);
                    return removed.map_err(|error| failure("remove", target)(error.into()));
                }
                Occupant::Foreign => break,
                Occupant::Ours(volume) => {
                    // A value that could not be overwritten must not stay mounted for it.
                    let emptied = volume.empty().map_err(failure("empty", target));
                    occupant::detach(parent.as_fd()).map_err(failure("unmount", target))?;
                    emptied?;
                }
            }
        }
        Err(VolumeError::Foreign {
            target: target.clone(),
        })
    }

    fn inspect(&self, parent: &OwnedFd, target: &TargetPath) -> Result<Occupant, VolumeError> {
        occupant::inspect(parent.as_fd(), &self.known).map_err(failure("look at", target))
    }

    fn parent(&self, target: &TargetPath) -> Result<Option<OwnedFd>, VolumeError> {
        self.kubelet
            .parent_of(target)
            .map_err(failure("find", target))
    }
}

impl Attached {
    /// How full the volume is.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn usage(&self) -> Result<Usage, VolumeError> {
        self.volume.usage().map_err(self.failed("measure"))
    }

    /// What the volume holds now.
    ///
    /// # Errors
    /// As the kernel answers; or somebody else has written there.
    pub fn contents(&self) -> Result<Contents, VolumeError> {
        self.volume.contents().map_err(self.failed("read"))
    }

    /// The room that the volume needs while these contents take the place of what it holds.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn room_to_change(&self, contents: &Contents) -> Result<Room, VolumeError> {
        self.volume
            .room_to_change(contents)
            .map_err(self.failed("measure"))
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
        self.volume
            .update(contents, room, name)
            .map_err(self.failed("update"))
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> VolumeError {
        failure(doing, &self.target)
    }
}

fn failure(doing: &'static str, target: &TargetPath) -> impl FnOnce(io::Error) -> VolumeError {
    let target = target.clone();
    move |source| VolumeError::Io {
        doing,
        target,
        source,
    }
}

/// We never stack mounts; this many are taken away where somebody did.
const MOST_STACKED: usize = 8;
