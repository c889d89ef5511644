//! The system calls that no crate wraps: the only unsafe code of this program.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::{
    errno::Errno,
    libc,
    unistd::{ForkResult, fork},
};
use rustix::process::Pid;

/// The user namespace that owns a namespace.
///
/// # Errors
/// `EPERM`: it is neither ours nor below ours.
pub(super) fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(namespace, libc::NS_GET_USERNS)
}

/// The user namespace that a user namespace was made in.
///
/// # Errors
/// `EPERM`: that is neither ours nor below ours.
pub(super) fn parent(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(namespace, libc::NS_GET_PARENT)
}

/// Who made a user namespace.
///
/// # Errors
/// As the kernel answers.
#[expect(
    unsafe_code,
    reason = "ioctl_ns(2) has no safe wrapper in rustix or nix"
)]
pub(super) fn maker(namespace: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: NS_GET_OWNER_UID writes one uid_t, which outlives the call.
    let answer =
        unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_OWNER_UID, &raw mut uid) };
    Errno::result(answer)?;
    Ok(uid)
}

#[expect(
    unsafe_code,
    reason = "ioctl_ns(2) has no safe wrapper in rustix or nix"
)]
fn related(namespace: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: NS_GET_USERNS and NS_GET_PARENT take no argument and touch no memory of ours.
    let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), request) };
    let descriptor = Errno::result(answer)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Does work in a child process, which ends with the code that the work gives.
///
/// # Assumptions
/// The process has one thread: a lock that another one holds would never be released in the child.
///
/// # Errors
/// There can be no more processes.
#[expect(unsafe_code, reason = "fork(2) and _exit(2) are not safe by nature")]
pub(super) fn in_child(work: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: there is no other thread, so the child may do all that we may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // Neither a panic nor a return may reach what the parent goes on with.
            let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(u8::MAX);
            // SAFETY: it ends the process. What waits in the parent's buffers is the parent's.
            unsafe { libc::_exit(code.into()) }
        }
        ForkResult::Parent { child } => {
            Pid::from_raw(child.as_raw()).ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
    }
}
