//! Removal.

use std::{
    fs, io,
    io::Write,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat2, statat, unlinkat},
    io::Errno,
    path::Arg,
};

use crate::generation::{CONFINED, open_directory};

/// Whether files are overwritten before their pages go back to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// Nobody has a right to them any more, or ever had.
    Yes,
    /// Applications may read them. Not only those that have one open: `sendfile(2)` puts a file's own
    /// pages into a pipe, where they are read when the file is long closed (busybox' `cat` does so).
    /// They must read the old value, as with a native Secret, and not zeros.
    No,
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
    if overwrite == Overwrite::No {
        return Ok(unlinkat(parent, name, AtFlags::empty())?);
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat2(parent, name, flags, Mode::empty(), CONFINED).map(fs::File::from);
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    // From here on nobody can open it any more.
    zero(&file?)
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
