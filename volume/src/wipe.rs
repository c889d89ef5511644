//! Removal. A value's bytes are overwritten before its pages go back to the kernel.

use std::{
    fs, io,
    io::Write,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fchown, fstat, openat2, statat, unlinkat},
    io::Errno,
    path::Arg,
    process::{getegid, geteuid},
};

use crate::{
    generation::{CONFINED, open_directory},
    sys,
};

/// Which files are overwritten before they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// All: nobody has a right to them any more, or ever had.
    Always,
    /// Those that nobody has open: an application that opened a file just before the swap must
    /// read the old value, as with a native Secret, and not zeros.
    IfUnused,
}

/// Removes all that is in a directory.
pub(crate) fn clear(directory: BorrowedFd<'_>, overwrite: Overwrite) -> io::Result<()> {
    for entry in Dir::new(open_directory(directory, ".")?)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            remove_tree(directory, name, overwrite)?;
        }
    }
    Ok(())
}

/// Removes a file, a link, or a directory with all that is in it. Follows no link.
pub(crate) fn remove_tree(
    parent: BorrowedFd<'_>,
    name: impl Arg + Copy,
    overwrite: Overwrite,
) -> io::Result<()> {
    let status = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    if kind.is_dir() {
        clear(open_directory(parent, name)?.as_fd(), overwrite)?;
        return Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?);
    }
    if kind.is_file() {
        return remove_file(parent, name, overwrite);
    }
    Ok(unlinkat(parent, name, AtFlags::empty())?)
}

fn remove_file(
    parent: BorrowedFd<'_>,
    name: impl Arg + Copy,
    overwrite: Overwrite,
) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat2(parent, name, flags, Mode::empty(), CONFINED).map(fs::File::from);
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    // From here on nobody can open it any more.
    let file = file?;
    if overwrite == Overwrite::Always || is_unused(&file) {
        zero(&file)?;
    }
    Ok(())
}

/// A lease is only for a file's owner, and this file is nobody's any more. It becomes ours and not
/// root's: in a user namespace there may be no root.
fn is_unused(file: &fs::File) -> bool {
    fchown(file, Some(geteuid()), Some(getegid())).is_ok() && sys::is_only_ours(file.as_fd())
}

fn zero(mut file: &fs::File) -> io::Result<()> {
    let mut left = usize::try_from(fstat(file)?.st_size).map_err(io::Error::other)?;
    while left > 0 {
        let step = left.min(ZEROS.len());
        file.write_all(&ZEROS[..step])?;
        left -= step;
    }
    Ok(())
}

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::{process::Uid, thread::set_thread_res_uid};

    use super::*;

    /// Runs without any right, whoever runs the tests.
    fn as_nobody(test: impl FnOnce() + Send + 'static) {
        let alone = thread::spawn(move || {
            if geteuid().is_root() {
                let nobody = Uid::from_raw(65534);
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            test();
        });
        alone.join().unwrap();
    }

    #[test]
    fn also_without_root_a_file_is_unused_as_soon_as_its_reader_has_gone() {
        as_nobody(|| {
            let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
            let reader = fs::File::open(file.path()).unwrap();
            assert!(!is_unused(file.as_file()));
            drop(reader);
            assert!(is_unused(file.as_file()));
        });
    }
}
