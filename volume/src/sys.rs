//! The system calls that no crate wraps: the only unsafe code of this crate.

use std::{io, os::fd::AsRawFd, os::fd::BorrowedFd};

use nix::libc;

/// Sets or clears the read-only flag of one mount, which may be detached.
///
/// # Errors
/// As the kernel answers: `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` if `mount` is no mount's root.
#[expect(
    unsafe_code,
    reason = "mount_setattr(2) has no safe wrapper in rustix or nix"
)]
pub(crate) fn set_read_only(mount: BorrowedFd<'_>, read_only: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: if read_only {
            libc::MOUNT_ATTR_RDONLY
        } else {
            0
        },
        attr_clr: if read_only {
            0
        } else {
            libc::MOUNT_ATTR_RDONLY
        },
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated literal, `attributes` outlives the call and is
    // as large as the kernel is told, and the kernel writes to neither.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
