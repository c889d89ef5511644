//! SecretVault's processes, as the kernel of their node has them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use secretvault_e2e::{Mount, Part};

/// A running process of a part.
pub(crate) struct Process(u32);

impl Process {
    /// The one process of a part's container.
    #[must_use]
    pub(crate) fn of(part: &Part) -> Self {
        let all = fs::read_dir("/proc").expect("processes").flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut found = numbers.filter(|number: &u32| {
            let read = |file| fs::read_to_string(format!("/proc/{number}/{file}"));
            // The pause container is of the same pod.
            read("cgroup").is_ok_and(|groups| groups.contains(&part.uid))
                && read("comm").is_ok_and(|name| name.starts_with("secretvault-"))
        });
        Self(found.next().expect("the part runs"))
    }

    /// A file of its directory below `/proc`.
    #[must_use]
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// A field of its status, as one text.
    #[must_use]
    pub(crate) fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(self.file("status")).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let value = line.and_then(|rest| rest.strip_prefix(':'));
        let words = value.expect("such a field").split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    }

    /// Whether it could write into the filesystem at a path, as far as the mount goes.
    #[must_use]
    pub(crate) fn writes_at(&self, path: &str) -> bool {
        let mounts = fs::read_to_string(self.file("mountinfo")).expect("it lives");
        let mounts = Mount::list(&mounts);
        let mount = mounts.iter().rfind(|mount| mount.point == path);
        !mount.expect("something is mounted there").has(&["ro"])
    }

    /// All that is in its memory and that it could write to.
    #[must_use]
    pub(crate) fn memory(&self) -> Vec<u8> {
        let maps = fs::read_to_string(self.file("maps")).expect("root may look");
        let memory = fs::File::open(self.file("mem")).expect("root may look");
        let mut found = Vec::new();
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let range = line.split(' ').next().and_then(|it| it.split_once('-'));
            let (start, end) = range.expect("a range");
            let number = |text| u64::from_str_radix(text, 16).expect("a number");
            let length = usize::try_from(number(end) - number(start)).expect("it fits");
            let mut region = vec![0; length];
            if memory.read_exact_at(&mut region, number(start)).is_ok() {
                found.extend(region);
            }
        }
        found
    }
}
