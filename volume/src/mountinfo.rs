//! `/proc/…/mountinfo`: which mounts there are, and which of them are ours.

use std::{fs, io, path::PathBuf};

/// One line: the fields that we need.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its id, as `statx` tells it.
    pub id: u64,
    /// Where it is.
    pub point: PathBuf,
    /// The filesystem's type.
    pub filesystem: String,
    /// The filesystem's source, as the kernel escapes it.
    pub source: String,
}

impl Mount {
    /// Whether this is a tmpfs with this source.
    pub fn is_named(&self, source: &str) -> bool {
        self.filesystem == "tmpfs" && self.source == source
    }
}

/// Reads the mounts of this thread's namespace.
///
/// # Errors
/// The kernel does not tell.
pub fn read() -> io::Result<Vec<Mount>> {
    read_from("/proc/thread-self/mountinfo")
}

/// Reads the mounts of a process' namespace, below the root that the process has.
///
/// # Errors
/// There is no such process, or we may not look at it.
pub fn read_of(pid: u32) -> io::Result<Vec<Mount>> {
    read_from(&format!("/proc/{pid}/mountinfo"))
}

/// One mount point whose name is no text must not hide all others.
fn read_from(path: &str) -> io::Result<Vec<Mount>> {
    Ok(parse(&String::from_utf8_lossy(&fs::read(path)?)))
}

/// The mount with this id, as `statx` tells it.
pub fn find(mounts: &[Mount], id: u64) -> Option<&Mount> {
    mounts.iter().find(|mount| mount.id == id)
}

/// Reads the kernel's text. A line of another form is left out.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /point options optional… - type source options`
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ');
    let id = before.next()?.parse().ok()?;
    let point = unescape(before.nth(3)?);
    let mut after = after.split(' ');
    Some(Mount {
        id,
        point: point.into(),
        filesystem: after.next()?.to_owned(),
        source: after.next()?.to_owned(),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_optional_fields() {
        let text = "\
36 35 0:42 / /var/lib/kubelet/a\\040b ro,nosuid shared:7 master:1 - tmpfs secretvault rw,size=4k
37 35 8:1 / /boot rw - ext4 /dev/sda1 rw
";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        let ours = find(&mounts, 36).unwrap();
        assert!(ours.is_named("secretvault"));
        assert_eq!(ours.point, PathBuf::from("/var/lib/kubelet/a b"));
        assert!(!find(&mounts, 37).unwrap().is_named("secretvault"));
        assert_eq!(find(&mounts, 38), None);
    }

    #[test]
    fn another_filesystem_of_our_name_is_not_ours() {
        let mounts = parse("1 2 0:1 / /x rw - ext4 secretvault rw");
        assert!(!mounts[0].is_named("secretvault"));
    }
}
