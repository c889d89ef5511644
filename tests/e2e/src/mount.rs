use std::collections::BTreeSet;

/// One line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's number: another one is another mount.
    pub id: String,
    /// `major:minor` of its filesystem.
    pub device: String,
    /// Where it is.
    pub point: String,
    /// What is set on this mount: `ro`, `nosuid`, …
    pub flags: BTreeSet<String>,
    /// The kind of filesystem.
    pub kind: String,
    /// What it was mounted from.
    pub source: String,
    /// What is set on the whole filesystem: `noswap`, `size=…`
    pub options: BTreeSet<String>,
}

impl Mount {
    /// Reads a whole file.
    #[must_use]
    pub fn list(mountinfo: &str) -> Vec<Self> {
        mountinfo.lines().filter_map(Self::read).collect()
    }

    /// Whether all of these are set on the mount.
    #[must_use]
    pub fn has(&self, flags: &[&str]) -> bool {
        flags.iter().all(|flag| self.flags.contains(*flag))
    }

    fn read(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let filesystem: Vec<&str> = filesystem.split(' ').collect();
        let set = |text: &str| text.split(',').map(str::to_owned).collect();
        Some(Self {
            id: (*mount.first()?).to_owned(),
            device: (*mount.get(2)?).to_owned(),
            point: (*mount.get(4)?).to_owned(),
            flags: set(mount.get(5)?),
            kind: (*filesystem.first()?).to_owned(),
            source: (*filesystem.get(1)?).to_owned(),
            options: set(filesystem.get(2)?),
        })
    }
}
