//! The mount namespace that a command has for itself, and what to do where there can be none.

use std::{fs, io};

use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
};
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    process::{getegid, geteuid},
};
use thiserror::Error;

/// Why a command can have no mounts of its own.
#[derive(Debug, Error)]
pub(super) enum NamespaceError {
    /// Root that may not mount.
    #[error(
        "this root may not mount: CAP_SYS_ADMIN is missing, as in most containers; run this as another user or give it that capability"
    )]
    Root(#[source] io::Error),
    /// No user namespace for others.
    #[error(
        "you may not mount, because the kernel gives you no user namespace: {obstacle}; or run this as root"
    )]
    User {
        /// What is in the way, and how to take it away.
        obstacle: String,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Enters a new mount namespace; without root in a new user namespace, where this process has all
/// capabilities and what it executes has none.
///
/// # Guarantees
/// Nothing that is mounted from now on is seen outside. Uid and gid are what they were.
///
/// # Assumptions
/// The process has one thread.
///
/// # Errors
/// The kernel refuses. What was done until then ends with the process.
pub(super) fn enter() -> Result<(), NamespaceError> {
    if geteuid().is_root() {
        return enter_as_root().map_err(NamespaceError::Root);
    }
    enter_as_user().map_err(|source| NamespaceError::User {
        obstacle: obstacle(source.raw_os_error(), |name| {
            let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            value.trim().parse().ok()
        }),
        source,
    })
}

fn enter_as_root() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    keep_mounts_inside()
}

fn enter_as_user() -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    // Without this the kernel takes no group map from an ordinary user.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    keep_mounts_inside()
}

/// What is mounted outside later is still seen inside, such as a disk, and never the other way.
fn keep_mounts_inside() -> io::Result<()> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(mount_change("/", flags)?)
}

/// What is in the way of a user namespace, and how to take it away.
fn obstacle(error: Option<i32>, sysctl: impl Fn(&str) -> Option<u64>) -> String {
    let switched_off = SWITCHES
        .iter()
        .find(|switch| sysctl(switch.name) == Some(switch.off));
    if let Some(Switch { name, off, remedy }) = switched_off {
        let name = name.replace('/', ".");
        return format!("{name} is {off}: root can {remedy}");
    }
    if error == Some(Errno::ENOSPC as i32) || error == Some(Errno::EUSERS as i32) {
        return "as many as user.max_user_namespaces or user.max_mnt_namespaces allows are in use: \
                root can allow more"
            .to_owned();
    }
    if error == Some(Errno::EINVAL as i32) || error == Some(Errno::ENOSYS as i32) {
        return "it was built without CONFIG_USER_NS".to_owned();
    }
    "a security module or a container's seccomp profile forbids it".to_owned()
}

/// A kernel setting that forbids user namespaces.
struct Switch {
    /// Below `/proc/sys`.
    name: &'static str,
    /// The value that forbids.
    off: u64,
    /// What root can do.
    remedy: &'static str,
}

const SWITCHES: [Switch; 4] = [
    Switch {
        name: "kernel/apparmor_restrict_unprivileged_userns",
        off: 1,
        remedy: "load an AppArmor profile with `userns,` for this program, or run \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    },
    Switch {
        name: "kernel/unprivileged_userns_clone",
        off: 0,
        remedy: "run `sysctl kernel.unprivileged_userns_clone=1`",
    },
    Switch {
        name: "user/max_user_namespaces",
        off: 0,
        remedy: "run `sysctl user.max_user_namespaces=10000`",
    },
    Switch {
        name: "user/max_mnt_namespaces",
        off: 0,
        remedy: "run `sysctl user.max_mnt_namespaces=10000`",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_is_in_the_way_is_named_with_its_remedy() {
        for (set, value, remedy) in [
            ("kernel/apparmor_restrict_unprivileged_userns", 1, "=0`"),
            ("kernel/unprivileged_userns_clone", 0, "=1`"),
            ("user/max_user_namespaces", 0, "=10000`"),
            ("user/max_mnt_namespaces", 0, "=10000`"),
        ] {
            let told = obstacle(Some(Errno::EPERM as i32), |name| {
                (name == set).then_some(value)
            });
            let start = format!("{} is {value}: root can ", set.replace('/', "."));
            assert!(told.starts_with(&start) && told.ends_with(remedy), "{told}");
        }
    }

    #[test]
    fn settings_that_allow_are_not_named() {
        let allowing = |name: &str| Some(u64::from(!name.contains("apparmor")));
        for (error, told) in [
            (Errno::EPERM, "a security module"),
            (Errno::ENOSPC, "as many as"),
            (Errno::EUSERS, "as many as"),
            (Errno::EINVAL, "it was built without"),
            (Errno::ENOSYS, "it was built without"),
        ] {
            let obstacle = obstacle(Some(error as i32), allowing);
            assert!(obstacle.starts_with(told), "{error}: {obstacle}");
        }
    }
}
