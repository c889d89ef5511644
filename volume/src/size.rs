//! How large a volume's tmpfs must be. Its pages are charged to the memory cgroup of whoever writes
//! them, so a volume is never larger than its contents need.

use crate::contents::Contents;

/// What a tmpfs may hold at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes, in whole pages.
    pub bytes: u64,
    /// Files, directories and links.
    pub inodes: u64,
}

impl Room {
    /// Room enough for either.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            inodes: self.inodes.max(other.inodes),
        }
    }
}

/// What one generation takes up.
pub(crate) fn generation(contents: &Contents, page: u64) -> Room {
    let bytes = contents
        .files()
        .map(|(_, file)| (file.content.expose().len() as u64).next_multiple_of(page))
        .sum();
    let inodes = contents.files().count() + contents.directories().len() + 1;
    Room {
        bytes,
        inodes: inodes as u64,
    }
}

/// The room for a volume with these contents: two generations, because the old one goes only when
/// the new one is there, and what stands around them.
pub(crate) fn at_rest(contents: &Contents, page: u64) -> Room {
    with_surroundings(contents, page, generation(contents, page))
}

/// The least bytes for a volume with files of these lengths, wherever they are.
pub(crate) fn least(lengths: impl IntoIterator<Item = usize>, page: u64) -> u64 {
    let lengths = lengths.into_iter();
    let files = lengths.map(|length| (length as u64).next_multiple_of(page));
    2 * files.sum::<u64>() + SPARE_PAGES * page
}

/// The room for these contents beside all that a volume holds at the moment.
pub(crate) fn beside(used: Room, contents: &Contents, page: u64) -> Room {
    with_surroundings(contents, page, used)
}

fn with_surroundings(contents: &Contents, page: u64, other: Room) -> Room {
    let new = generation(contents, page);
    // A link with a long name takes a page of its own.
    let links = contents.top_names().len() as u64;
    Room {
        bytes: other.bytes + new.bytes + (links + SPARE_PAGES) * page,
        inodes: other.inodes + new.inodes + links + SPARE_INODES,
    }
}

/// `..data`, its successor, and the slack of tmpfs' per-CPU counters.
const SPARE_PAGES: u64 = 16;

/// The root, `kubernetes.io/serviceaccount`, `..data`, its successor.
const SPARE_INODES: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::tests::contents;

    #[test]
    fn each_file_takes_whole_pages_twice() {
        let small = contents(&[("a", "x"), ("b/c", &"x".repeat(4097)), ("d", "")]);
        assert_eq!(
            generation(&small, 4096),
            Room {
                bytes: 3 * 4096,
                inodes: 5
            }
        );
        let room = at_rest(&small, 4096);
        assert_eq!(room.bytes, (6 + 3 + SPARE_PAGES) * 4096);
        assert_eq!(room.inodes, 10 + 3 + SPARE_INODES);
    }

    #[test]
    fn the_least_for_files_is_a_little_less_than_what_they_need() {
        let large = "x".repeat(4097);
        let some = contents(&[("a", "x"), ("b/c", &large), ("d", ""), ("e", &large)]);
        let lengths = some.files().map(|(_, file)| file.content.expose().len());
        let (least, links) = (least(lengths, 4096), 4);
        assert_eq!(least + links * 4096, at_rest(&some, 4096).bytes);
    }

    #[test]
    fn a_successor_finds_room_beside_what_is_there() {
        let new = contents(&[("a", &"x".repeat(10_000))]);
        let used = Room {
            bytes: 1 << 20,
            inodes: 7,
        };
        let room = beside(used, &new, 4096);
        assert_eq!(room.bytes, (1 << 20) + (3 + 1 + SPARE_PAGES) * 4096);
    }

    #[test]
    fn nothing_at_all_still_has_room_to_be_written() {
        assert!(at_rest(&Contents::default(), 65536).bytes >= 65536);
    }
}
