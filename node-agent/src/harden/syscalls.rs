//! System calls that the agent never makes, and that are worth most to whoever takes it over. With
//! `CAP_SYS_ADMIN` some of them would be the node itself.
//!
//! A list of what is forbidden, not of what is allowed: the agent stands between kubelet and every
//! pod with a volume, and must not die of a new version of its allocator.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// Forbids them to this thread and to all that it starts: they answer `EPERM`.
///
/// # Errors
/// The kernel has no seccomp filters.
pub(super) fn forbid() -> Result<(), seccompiler::Error> {
    let rules: BTreeMap<i64, Vec<_>> = EVERYWHERE
        .iter()
        .chain(HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        refuse,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}

const EVERYWHERE: &[libc::c_long] = &[
    // Another program in our place: there is none in our image, and none is needed.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // The kernel.
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_perf_event_open,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    // Keys of others.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Namespaces, and ways around them. We mount by descriptor only.
    libc::SYS_chroot,
    libc::SYS_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_unshare,
    // The node.
    libc::SYS_acct,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_mknodat,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
];

#[cfg(target_arch = "x86_64")]
const HERE: &[libc::c_long] = &[
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_mknod,
    libc::SYS_modify_ldt,
];

#[cfg(not(target_arch = "x86_64"))]
const HERE: &[libc::c_long] = &[];
