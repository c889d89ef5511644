//! What the agent takes from itself before it touches anything secret. It must be started as root
//! in a privileged container (only there does Kubernetes allow Bidirectional propagation); it goes
//! on with three capabilities and without the system calls that turn a foothold into a node.
//!
//! Landlock is not used: a process with a Landlock rule on files may not mount.

mod syscalls;

use std::{io, panic};

use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    },
};
use tracing::error;

/// Hardens the process. Call it while there is one thread: capabilities belong to threads.
///
/// # Guarantees
/// No core dump, no debugger, no new privileges, no files that others can read by accident, no
/// capability but [`NEEDED`], no other program in its place, no panic message with a payload.
///
/// # Errors
/// The kernel refused: we are not root.
pub fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    set_no_new_privs(true)?;
    drop_capabilities()?;
    syscalls::forbid().map_err(io::Error::other)?;
    panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        error!(place, "panic");
    }));
    Ok(())
}

fn drop_capabilities() -> io::Result<()> {
    for capability in CapabilitySet::all().difference(NEEDED).iter() {
        // The kernel may be older than a capability.
        match remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let sets = CapabilitySets {
        effective: NEEDED,
        permitted: NEEDED,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Mounting; owners of files; reading and overwriting files of other owners.
pub const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE);
