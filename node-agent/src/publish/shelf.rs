//! The node's volumes with what is remembered of them and what they take up: the part of every
//! operation that touches the disk-less disk. Everything here blocks.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use secretvault_delivery::v1::Grant;
use secretvault_vault::FilePath;
use secretvault_volume::{Change, Contents, File, GenerationName, Usage, Volume};

use super::PublishError;
use crate::{
    release::{Held, Opened, by_name, least_lengths, open},
    state::{Record, Store},
    volume::{Attached, Budget, Layer, TargetPath, VolumeError},
};

/// Volumes, their records, their budget.
#[derive(Debug)]
pub struct Shelf {
    layer: Layer,
    store: Store,
    budget: Mutex<Budget>,
}

/// How much there is on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Volumes.
    pub volumes: usize,
    /// Bytes that they may take.
    pub bytes: u64,
}

impl Shelf {
    /// Puts the parts together.
    pub fn new(layer: Layer, store: Store, budget: Budget) -> Self {
        Self {
            layer,
            store,
            budget: Mutex::new(budget),
        }
    }

    /// Finds what an agent before us has left: its volumes count, the records of those that are
    /// gone are wiped, the others are returned.
    ///
    /// # Errors
    /// The kernel tells no mounts, or no state.
    pub fn recover(&self) -> io::Result<Vec<Record>> {
        let targets = self.layer.targets()?;
        for target in &targets {
            if let Ok(Some(volume)) = self.layer.attached(target) {
                let bytes = volume.usage().map_or(0, |usage| usage.room.bytes);
                self.budget().record(target, bytes);
            }
        }
        let mut found = Vec::new();
        for record in self.store.load()? {
            if targets.contains(&record.request.target) {
                found.push(record);
            } else {
                self.store.forget(&record.request.target)?;
            }
        }
        Ok(found)
    }

    /// Whether a volume of ours is attached.
    ///
    /// # Errors
    /// Something else is at the target.
    pub fn has(&self, target: &TargetPath) -> Result<bool, VolumeError> {
        Ok(self.layer.attached(target)?.is_some())
    }

    /// Opens a grant for a volume that holds `held`, if a volume may be as large as that.
    ///
    /// # Errors
    /// It may not: then nothing is opened, and the error says what of `held` goes all the same. Or
    /// the grant does not open, or breaks the protocol.
    pub fn open(
        &self,
        grant: &Grant,
        held: &Held,
        group: Option<u32>,
    ) -> Result<Opened, PublishError> {
        let least = Volume::least_bytes(least_lengths(grant)?);
        let allowed = self.budget().allows(least);
        if let Err(error) = allowed {
            // An answer that is behind knows nothing of what has ended, or come, since.
            let (next, _) = by_name(grant, held)?;
            let withdrawn = held.lost_to(&next);
            return Err(PublishError::Budget { error, withdrawn });
        }
        Ok(open(grant, held, group)?)
    }

    /// Makes a volume and attaches it.
    ///
    /// # Errors
    /// Nothing is attached then, remembered or counted.
    pub fn attach(&self, record: &Record, opened: Opened) -> Result<(), PublishError> {
        let target = &record.request.target;
        let contents = Contents::new(opened.files)?;
        self.budget()
            .reserve(target, Volume::room_for(&contents).bytes)?;
        let attached = self.remember(record).and_then(|()| {
            let name = generation_name()?;
            Ok(self.layer.attach(target, &contents, &name)?)
        });
        if attached.is_err() {
            let _ = self.store.forget(target);
            self.budget().release(target);
        }
        attached
    }

    /// Changes an attached volume, of which this is remembered, to what was granted.
    ///
    /// # Errors
    /// The last generation is in force then. Where there is no room, the error says what goes all
    /// the same.
    pub fn change(&self, record: &Record, opened: Opened) -> Result<Change, PublishError> {
        let target = &record.request.target;
        let Some(volume) = self.layer.attached(target)? else {
            return Err(PublishError::Interrupted("the volume is gone"));
        };
        let retained = retained(&volume, opened.retained)?;
        let contents = Contents::new(opened.files.into_iter().chain(retained))?;
        let room = volume.room_to_change(&contents)?;
        let reserved = self.budget().reserve(target, room.bytes);
        reserved.map_err(|error| PublishError::Budget {
            error,
            withdrawn: record.held.lost_to(&opened.held),
        })?;
        let changed = volume.update(&contents, room, &generation_name()?);
        let bytes = volume.usage().map_or(room.bytes, |usage| usage.room.bytes);
        self.budget().record(target, bytes);
        Ok(changed?)
    }

    /// Remembers what kubelet asked for and what is held.
    ///
    /// # Errors
    /// There is no room for it. What was known stays.
    pub fn remember(&self, record: &Record) -> Result<(), PublishError> {
        self.store.save(record).map_err(PublishError::State)
    }

    /// Empties and removes a volume, and forgets it.
    ///
    /// # Errors
    /// Something else is at the target, or the kernel refused.
    pub fn remove(&self, target: &TargetPath) -> Result<(), PublishError> {
        self.layer.remove(target)?;
        self.budget().release(target);
        self.store.forget(target).map_err(PublishError::State)
    }

    /// How full a volume is. `None`: it is not attached.
    ///
    /// # Errors
    /// Something else is at the target, or the kernel refused.
    pub fn usage(&self, target: &TargetPath) -> Result<Option<Usage>, VolumeError> {
        self.layer
            .attached(target)?
            .map(|volume| volume.usage())
            .transpose()
    }

    /// The room that a volume has.
    pub fn reserved(&self, target: &TargetPath) -> u64 {
        self.budget().of(target).unwrap_or_default()
    }

    /// What all volumes take.
    pub fn load(&self) -> Load {
        let budget = self.budget();
        Load {
            volumes: budget.volumes(),
            bytes: budget.used(),
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files that stay, as they are in the volume.
fn retained(volume: &Attached, paths: Vec<FilePath>) -> Result<Vec<(FilePath, File)>, VolumeError> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let mut present = volume.contents()?;
    let stays = paths.into_iter().filter_map(|path| {
        let file = present.take(&path)?;
        Some((path, file))
    });
    Ok(stays.collect())
}

fn generation_name() -> Result<GenerationName, PublishError> {
    let chance = getrandom::u32()
        .map_err(|error| PublishError::State(io::Error::other(error.to_string())))?;
    Ok(GenerationName::new(Timestamp::now(), chance))
}

#[cfg(test)]
mod tests {
    use secretvault_delivery::v1::{self, GrantedVault, Sealed, file::Content};

    use super::*;
    use crate::{
        publish::Reason,
        release::{HeldFile, HeldVault, ReleaseError},
        volume::BudgetError,
    };

    fn shelf(per_volume: u64) -> Shelf {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let layer = Layer::open(directory.path()).unwrap();
        let store = Store::open(directory.path(), directory.path()).unwrap();
        Shelf::new(layer, store, Budget::new(u64::MAX, per_volume))
    }

    /// One entry of 100 KB, which does not open, at so many paths.
    fn grant(paths: u32) -> Grant {
        let file = |number| v1::File {
            path: format!("p{number}"),
            entry: "big".to_owned(),
            content: Some(Content::SameAs(0)),
            ..v1::File::default()
        };
        let mut files: Vec<v1::File> = (0..paths).map(file).collect();
        files[0].content = Some(Content::Sealed(Sealed {
            envelope: format!("sv1:{}", "A".repeat(133_400)),
            key: vec![0; 44],
        }));
        Grant {
            vaults: vec![GrantedVault::default()],
            files,
            ..Grant::default()
        }
    }

    #[test]
    fn a_volume_that_would_be_too_large_is_refused_before_anything_is_opened() {
        let shelf = shelf(4 << 20);
        let refused = |paths| {
            let opened = shelf.open(&grant(paths), &Held::default(), None);
            opened.unwrap_err()
        };
        let few = refused(10);
        let opened = matches!(few, PublishError::Release(ReleaseError::DoesNotOpen { .. }));
        assert!(opened, "{few:?}");
        let many = refused(40);
        let too_large = matches!(
            many,
            PublishError::Budget {
                error: BudgetError::Volume { .. },
                ..
            }
        );
        assert!(too_large, "{many:?}");
        assert!(many.withdrawn().is_empty(), "nothing is held: {many:?}");
    }

    /// The same entry at another path, and one that is not granted any more.
    fn held(generation: i64) -> Held {
        let file = |entry: &str| HeldFile {
            vault: 0,
            entry: entry.parse().unwrap(),
            path: format!("{entry}-file").parse().unwrap(),
        };
        let vault = HeldVault {
            namespace: String::new(),
            name: String::new(),
            uid: String::new(),
            generation,
            since: 0,
            retains: true,
            handle: None,
        };
        Held {
            vaults: vec![vault],
            files: vec![file("big"), file("ended")],
            awaited: Vec::new(),
        }
    }

    #[test]
    fn a_grant_that_is_too_large_takes_away_what_it_leaves_out_and_nothing_else() {
        let shelf = shelf(4 << 20);
        let refused = |grant: &Grant| shelf.open(grant, &held(0), None).unwrap_err();
        let few = refused(&grant(10));
        assert!(few.withdrawn().is_empty(), "another trouble: {few:?}");
        let many = refused(&grant(40));
        assert_eq!(many.reason(), Reason::NoRoom);
        let ended: FilePath = "ended-file".parse().unwrap();
        assert_eq!(many.withdrawn(), [ended]);
        let retaining = Grant {
            retained: vec!["ended-file".to_owned()],
            ..grant(40)
        };
        let retained = refused(&retaining);
        assert_eq!(retained.reason(), Reason::NoRoom);
        assert!(retained.withdrawn().is_empty(), "{retained:?}");
    }

    #[test]
    fn a_grant_that_is_too_large_and_behind_takes_nothing_away() {
        let behind = shelf(4 << 20).open(&grant(40), &held(1), None);
        let behind = behind.unwrap_err();
        assert_eq!(behind.reason(), Reason::Behind);
        assert!(behind.withdrawn().is_empty(), "{behind:?}");
    }
}
