//! Whether memory could be written to a disk that nobody encrypts. Only root can have a tmpfs that
//! is never swapped, so for everybody else this decides.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{major, minor};
use thiserror::Error;

/// Why a command's files could end up on a disk.
#[derive(Debug, Error)]
pub(super) enum SwapError {
    /// The kernel does not say.
    #[error(
        "nobody knows whether secrets could be swapped to a disk: {SWAPS} cannot be read; --allow-swap takes the risk"
    )]
    Unknown(#[source] io::Error),
    /// A swap that is not encrypted.
    #[error(
        "the secrets could be swapped to {0}, which is not encrypted, and only root on Linux 6.4 or later can keep them out of swap: `swapoff {0}`, encrypt it, run this as root, or take the risk with --allow-swap"
    )]
    Unencrypted(String),
}

/// Finds that no memory can get to a disk unencrypted.
///
/// # Errors
/// It can.
pub(super) fn refuse_unencrypted() -> Result<(), SwapError> {
    let swaps = match fs::read_to_string(SWAPS) {
        Ok(swaps) => swaps,
        // A kernel without swap.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SwapError::Unknown(error)),
    };
    let safe = |swap: &str| device(swap, Path::new("/sys")).is_some_and(|device| is_safe(&device));
    match names(&swaps).find(|swap| !safe(swap)) {
        None => Ok(()),
        Some(swap) => Err(SwapError::Unencrypted(swap.to_owned())),
    }
}

/// The first column, below its title.
fn names(swaps: &str) -> impl Iterator<Item = &str> {
    let lines = swaps.lines().skip(1);
    lines.filter_map(|line| line.split_ascii_whitespace().next())
}

/// What the kernel tells about the block device that a swap is, or is on.
fn device(swap: &str, sys: &Path) -> Option<PathBuf> {
    // By name first: in a container the device's file is often not there.
    let name = swap
        .strip_prefix("/dev/")
        .filter(|name| !name.contains('/'));
    let named = name.and_then(|name| fs::canonicalize(sys.join("class/block").join(name)).ok());
    named.or_else(|| {
        let metadata = fs::metadata(swap).ok()?;
        let device = if metadata.file_type().is_block_device() {
            metadata.rdev()
        } else {
            metadata.dev()
        };
        let number = format!("{}:{}", major(device), minor(device));
        fs::canonicalize(sys.join("dev/block").join(number)).ok()
    })
}

/// Whether what is written there is in memory, or encrypted: by itself, or by all that it is on.
fn is_safe(device: &Path) -> bool {
    let name = device.file_name().unwrap_or_default();
    if name.as_encoded_bytes().starts_with(b"zram") {
        return stays_in_memory(device);
    }
    let uuid = fs::read_to_string(device.join("dm/uuid"));
    if uuid.is_ok_and(|uuid| uuid.starts_with("CRYPT-")) {
        return true;
    }
    let Ok(below) = fs::read_dir(device.join("slaves")) else {
        return false;
    };
    let below: Vec<PathBuf> = below
        .filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok())
        .collect();
    !below.is_empty() && below.iter().all(|device| is_safe(device))
}

/// Compressed memory can be told to write pages that are rarely used to a disk.
fn stays_in_memory(zram: &Path) -> bool {
    match fs::read_to_string(zram.join("backing_dev")) {
        Ok(disk) => OsStr::new(disk.trim()) == "none",
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

const SWAPS: &str = "/proc/swaps";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Writes files below a directory that stands for `/sys/class/block`.
    fn with_devices(files: &[(&str, &str)], links: &[(&str, &str)], test: impl FnOnce(&Path)) {
        let sys = tempfile::tempdir().unwrap();
        let devices = sys.path().join("class/block");
        for (path, content) in files {
            let path = devices.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for (link, target) in links {
            let link = devices.join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(devices.join(target), link).unwrap();
        }
        test(sys.path());
    }

    fn is_safe_swap(swap: &str, sys: &Path) -> bool {
        device(swap, sys).is_some_and(|device| is_safe(&device))
    }

    #[test]
    fn the_names_are_below_the_title() {
        let swaps = "Filename\t\t\tType\t\tSize\n\
                     /dev/dm-1   partition\t8\n/swap\\040file  file\t8\n";
        assert_eq!(
            names(swaps).collect::<Vec<_>>(),
            ["/dev/dm-1", "/swap\\040file"]
        );
        assert_eq!(names("").count(), 0);
    }

    #[test]
    fn compressed_memory_is_safe_unless_it_writes_to_a_disk() {
        let files = [
            ("zram0/size", "1"),
            ("zram1/backing_dev", "none\n"),
            ("zram2/backing_dev", "/dev/sda2\n"),
        ];
        with_devices(&files, &[], |sys| {
            assert!(is_safe_swap("/dev/zram0", sys));
            assert!(is_safe_swap("/dev/zram1", sys));
            assert!(!is_safe_swap("/dev/zram2", sys));
        });
    }

    #[test]
    fn an_encrypted_device_is_safe_also_below_a_logical_volume() {
        let files = [
            ("dm-0/dm/uuid", "CRYPT-LUKS2-abc-cryptroot\n"),
            ("dm-1/dm/uuid", "LVM-abc\n"),
            ("dm-2/dm/uuid", "LVM-def\n"),
            ("dm-3/dm/uuid", "LVM-ghi\n"),
            ("sda2/size", "1"),
        ];
        let links = [
            ("dm-1/slaves/dm-0", "dm-0"),
            ("dm-2/slaves/dm-0", "dm-0"),
            ("dm-2/slaves/sda2", "sda2"),
        ];
        with_devices(&files, &links, |sys| {
            assert!(is_safe_swap("/dev/dm-0", sys));
            assert!(is_safe_swap("/dev/dm-1", sys));
            assert!(!is_safe_swap("/dev/dm-2", sys), "a half of it is not");
            assert!(!is_safe_swap("/dev/dm-3", sys), "on nothing that is known");
            assert!(!is_safe_swap("/dev/sda2", sys));
        });
    }

    #[test]
    fn what_is_not_known_is_not_safe() {
        with_devices(&[], &[], |sys| {
            assert!(!is_safe_swap("/dev/sdz9", sys));
            assert!(!is_safe_swap("/swapfile (deleted)", sys));
        });
    }
}
