//! The inside of a volume: one directory per generation, `..data` that names the one in force, and
//! links to it at the top. The layout is that of Kubernetes' own AtomicWriter, so a consumer sees
//! all files of one generation or all of the next, and what watches `..data` works with us.
//!
//! ```text
//! ..2026_11_22_05_37_11.9f3c21aa/db/password
//! ..data -> ..2026_11_22_05_37_11.9f3c21aa
//! db -> ..data/db
//! kubernetes.io/serviceaccount/        where the runtime mounts the pod's token
//! ```

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fstat,
        mkdirat, openat2, readlinkat, renameat, symlinkat, unlinkat,
    },
    io::Errno,
    path::Arg,
};
use secretvault_envelope::Plaintext;
use secretvault_vault::{FileMode, names::RESERVED_SEGMENT};
use zeroize::Zeroizing;

use crate::{
    contents::{Contents, File},
    wipe::{self, Overwrite},
};

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

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the mount point for the pod's own token. On a read-only mount the container runtime
/// cannot, and in images whose `/var/run` is a link to `/run` it would have to.
pub(crate) fn prepare_root(root: BorrowedFd<'_>) -> io::Result<()> {
    let reserved = make_directory(root, RESERVED_SEGMENT)?;
    make_directory(reserved.as_fd(), "serviceaccount")?;
    Ok(())
}

/// Writes a generation beside the one in force. Nobody but the writer can enter it yet.
///
/// # Errors
/// Nothing of it is left then.
pub(crate) fn write(root: BorrowedFd<'_>, name: &str, contents: &Contents) -> io::Result<()> {
    mkdirat(root, name, Mode::RWXU)?;
    let written = open_directory(root, name).and_then(|directory| {
        fill(directory.as_fd(), contents)?;
        Ok(fchmod(directory, READABLE_DIRECTORY)?)
    });
    if written.is_err() {
        let _ = wipe::remove_tree(root, name, Overwrite::Yes);
    }
    written
}

/// Puts a generation in force, at once for all its files, and adapts the links at the top.
pub(crate) fn enter(root: BorrowedFd<'_>, name: &str, contents: &Contents) -> io::Result<()> {
    remove_if_there(root, NEXT)?;
    symlinkat(name, root, NEXT)?;
    renameat(root, NEXT, root, DATA)?;
    link_top_names(root, &contents.top_names())
}

/// Makes each link at the top lead into `..data`, and takes away those that lead to nothing.
pub(crate) fn link_top_names(root: BorrowedFd<'_>, wanted: &BTreeSet<&str>) -> io::Result<()> {
    let present = names(root)?;
    for name in wanted {
        let goal = format!("{DATA}/{name}");
        if !present.contains(*name) {
            symlinkat(&goal, root, *name)?;
        }
    }
    for name in present {
        let ours = name.starts_with("..") || name == RESERVED_SEGMENT;
        if !ours && !wanted.contains(name.as_str()) {
            remove_if_there(root, &name)?;
        }
    }
    Ok(())
}

/// The generation in force. `None`: there is none yet.
pub(crate) fn current(root: BorrowedFd<'_>) -> io::Result<Option<String>> {
    match readlinkat(root, DATA, Vec::new()) {
        Ok(name) => Ok(name.into_string().ok().filter(|name| is_generation(name))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes every generation but the one in force: the last one, and what a crash has left.
pub(crate) fn remove_others(root: BorrowedFd<'_>, in_force: Option<&str>) -> io::Result<()> {
    for name in names(root)? {
        if is_generation(&name) && Some(name.as_str()) != in_force {
            wipe::remove_tree(root, &name, Overwrite::No)?;
        }
    }
    Ok(())
}

/// Reads a generation back, with owners and modes.
pub(crate) fn read(root: BorrowedFd<'_>, name: &str) -> io::Result<Contents> {
    let mut files = Vec::new();
    collect(open_directory(root, name)?.as_fd(), "", &mut files)?;
    let files = files.into_iter().map(|(path, file)| {
        let path = path.as_str().try_into().map_err(io::Error::other)?;
        Ok((path, file))
    });
    Contents::new(files.collect::<io::Result<Vec<_>>>()?).map_err(io::Error::other)
}

/// The names in a directory, without `.` and `..`.
fn names(directory: BorrowedFd<'_>) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in Dir::new(open_directory(directory, ".")?)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Opens a directory, following no link and leaving neither `root` nor its filesystem.
pub(crate) fn open_directory(root: BorrowedFd<'_>, path: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat2(root, path, flags, Mode::empty(), CONFINED)?)
}

fn fill(generation: BorrowedFd<'_>, contents: &Contents) -> io::Result<()> {
    for directory in contents.directories() {
        make_directory(generation, directory)?;
    }
    for (path, file) in contents.files() {
        write_file(generation, path.as_str(), file)?;
    }
    Ok(())
}

/// Always a new file: a shorter value leaves no tail of a longer one.
fn write_file(generation: BorrowedFd<'_>, path: &str, file: &File) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let descriptor = openat2(generation, path, flags, Mode::RUSR | Mode::WUSR, CONFINED)?;
    let mut writer = fs::File::from(descriptor);
    writer.write_all(file.content.expose())?;
    // The mode first: a stranger's file would need one more capability.
    fchmod(&writer, Mode::from_raw_mode(file.mode.bits()))?;
    fchown(
        &writer,
        Some(Uid::from_raw(file.uid)),
        Some(Gid::from_raw(file.gid)),
    )?;
    Ok(())
}

/// Makes one directory, whose parent is there, and gives it its mode whatever the umask is.
fn make_directory(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    match path.rsplit_once('/') {
        Some((parent, name)) => mkdirat(open_directory(root, parent)?, name, Mode::RWXU)?,
        None => mkdirat(root, path, Mode::RWXU)?,
    }
    let directory = open_directory(root, path)?;
    fchmod(&directory, READABLE_DIRECTORY)?;
    Ok(directory)
}

fn collect(
    directory: BorrowedFd<'_>,
    prefix: &str,
    files: &mut Vec<(String, File)>,
) -> io::Result<()> {
    for name in names(directory)? {
        let path = format!("{prefix}{name}");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let found = openat2(directory, &name, flags, Mode::empty(), CONFINED)?;
        let status = fstat(&found)?;
        if FileType::from_raw_mode(status.st_mode).is_dir() {
            collect(found.as_fd(), &format!("{path}/"), files)?;
        } else {
            files.push((path, read_file(found, &status)?));
        }
    }
    Ok(())
}

fn read_file(descriptor: OwnedFd, status: &rustix::fs::Stat) -> io::Result<File> {
    let length = usize::try_from(status.st_size).map_err(io::Error::other)?;
    // At its final size at once: growth would leave copies of the value behind.
    let mut content = Zeroizing::new(vec![0; length]);
    fs::File::from(descriptor).read_exact(&mut content)?;
    Ok(File {
        uid: status.st_uid,
        gid: status.st_gid,
        mode: FileMode::try_from(status.st_mode & 0o7777).map_err(io::Error::other)?,
        content: Arc::new(Plaintext::from(content)),
    })
}

fn remove_if_there(root: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlinkat(root, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A file's path never has a segment that starts in this way.
fn is_generation(name: &str) -> bool {
    name.starts_with("..") && name != DATA && name != NEXT && !name.contains('/')
}

const DATA: &str = "..data";
const NEXT: &str = "..data_tmp";
const READABLE_DIRECTORY: Mode = Mode::from_raw_mode(0o755);
pub(crate) const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);
