//! The way into a running command's namespaces, and who may be behind it.
//!
//! What stands in a namespace is what its administrator put there. A namespace that an attacker
//! administers can show any mounts, any marker and a volume that he reads, so an update enters only
//! namespaces that nobody but ourselves, or who rules over us anyway, can have administered:
//!
//! * one that belongs to our own user namespace: only its root can mount there;
//! * for others than root, one that belongs to a user namespace as `run` makes it: a child of our
//!   own, made by ourselves, with our uid in it as itself and nobody else. What runs there as root,
//!   as in a rootless container, or in a sandbox within a sandbox, does not fit.
//!
//! # Caveats
//! A command that was started inside of another one of the same user is in a sandbox within a
//! sandbox: only changes from inside of the outer one reach it.
//!
//! # Assumptions
//! No sandbox of the same user gives capabilities in a user namespace of exactly this form to what
//! it shall keep in.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    sched::{CloneFlags, setns},
    unistd::{Gid, setegid},
};
use rustix::{
    fs::fstat,
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
};

use super::sys;

/// A mount namespace that an update may enter.
#[derive(Debug)]
pub(super) struct Entrance {
    mounts: OwnedFd,
    user: Option<OwnedFd>,
}

impl Entrance {
    /// Takes a mount namespace. `None`: it is none that we enter.
    ///
    /// # Errors
    /// The kernel does not tell whose it is.
    pub(super) fn find(mounts: OwnedFd) -> io::Result<Option<Self>> {
        let owner = sys::owner(mounts.as_fd())?;
        let own = OwnedFd::from(File::open("/proc/self/ns/user")?);
        if is_same(&owner, &own)? {
            return Ok(Some(Self { mounts, user: None }));
        }
        let uid = geteuid();
        let made_by_us = !uid.is_root()
            && is_same(&sys::parent(owner.as_fd())?, &own)?
            && sys::maker(owner.as_fd())? == uid.as_raw();
        let user = Some(owner);
        Ok(made_by_us.then_some(Self { mounts, user }))
    }

    /// Whether we are in the user namespace already, where only its maker has any right.
    pub(super) fn is_around_us(&self) -> bool {
        self.user.is_none() && !geteuid().is_root()
    }

    /// Enters. Root and working directory are then those of the namespace.
    ///
    /// # Errors
    /// The kernel refuses, or others than ourselves are in there.
    pub(super) fn enter(&self, gid: u32) -> io::Result<()> {
        // What else is in there must not look at what we bring.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        if let Some(user) = &self.user {
            let uid = geteuid().as_raw();
            setns(user, CloneFlags::CLONE_NEWUSER)?;
            // Read before we are among mounts that could show another text.
            let map = fs::read_to_string("/proc/self/uid_map")?;
            if !is_identity(&map, uid) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            // A group that is not in there could own no file.
            setegid(Gid::from_raw(gid))?;
        }
        Ok(setns(&self.mounts, CloneFlags::CLONE_NEWNS)?)
    }
}

/// What tells a namespace from others.
pub(super) fn is_same(one: &OwnedFd, other: &OwnedFd) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Whether a user namespace has one user, who is the same inside and outside.
fn is_identity(map: &str, uid: u32) -> bool {
    let uid = uid.to_string();
    map.split_ascii_whitespace().eq([uid.as_str(), &uid, "1"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_user_who_stays_the_same_is_ourselves() {
        assert!(is_identity("      1000       1000          1\n", 1000));
        for map in [
            "",
            "         0       1000          1\n",
            "      1000       1000          2\n",
            "      1000       1000          1\n         0     100000      65536\n",
            "         0          0 4294967295\n",
        ] {
            assert!(!is_identity(map, 1000), "{map}");
        }
    }
}
