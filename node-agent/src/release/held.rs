//! What a volume holds, by name: told to the operator at each republish, so that it can decide what
//! stays of a vault that was deleted. No values, no keys.

use std::collections::BTreeSet;

use secretvault_delivery::v1::{self, GrantedVault};
use secretvault_vault::{EntryName, FilePath, OnDelete};
use serde::{Deserialize, Serialize};

use super::{Handle, ReleaseError, Word, holdings::Changed};

/// The vaults that a volume has files of, and the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// As the last grant named them.
    pub vaults: Vec<HeldVault>,
    /// Each of one of the vaults.
    pub files: Vec<HeldFile>,
    /// Vaults that were asked for and are not there yet.
    #[serde(skip)]
    pub awaited: Vec<Handle>,
}

/// A vault at one generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldVault {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a vault that was made again is another one.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// The generation that the volume held when the pod started; 0: it had none of this vault.
    #[serde(default)]
    pub since: i64,
    /// Whether its files stay when it goes.
    pub retains: bool,
    /// What stands for it on a stream. Not remembered beyond the process: the first answer that
    /// the next one gets brings it again.
    #[serde(skip)]
    pub handle: Option<Handle>,
}

/// A file, and the entry that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    /// Index into the vaults.
    pub vault: usize,
    /// The entry's name.
    pub entry: EntryName,
    /// Where it is.
    pub path: FilePath,
}

impl Held {
    /// What a volume holds after a grant: what was granted, and what it keeps of what it held.
    ///
    /// # Errors
    /// The grant goes back behind what is held, or keeps what is not.
    pub fn successor(&self, granted: Self, retained: &[FilePath]) -> Result<Self, ReleaseError> {
        let mut next = granted;
        for vault in &mut next.vaults {
            let Some(held) = self.vaults.iter().find(|held| held.uid == vault.uid) else {
                continue;
            };
            if held.generation > vault.generation {
                return Err(ReleaseError::Behind {
                    vault: vault.to_string(),
                });
            }
            vault.since = held.since;
        }
        for path in retained {
            let file = self.files.iter().find(|file| file.path == *path);
            let file = file.ok_or(ReleaseError::Malformed("it keeps a file that is not held"))?;
            let vault = next.index_of(&self.vaults[file.vault]);
            next.files.push(HeldFile {
                vault,
                ..file.clone()
            });
        }
        Ok(next)
    }

    /// The files that go with a successor for good: it has their entry at no path at all. One that
    /// only moves is still allowed, also with a vault that was made anew under its name.
    pub fn lost_to(&self, next: &Self) -> Vec<FilePath> {
        let had: BTreeSet<_> = next.files.iter().map(|file| next.origin(file)).collect();
        let lost = self.files.iter();
        lost.filter(|file| !had.contains(&self.origin(file)))
            .map(|file| file.path.clone())
            .collect()
    }

    /// What a volume holds with which its pod starts.
    pub fn from_the_start(mut self) -> Self {
        for vault in &mut self.vaults {
            vault.since = vault.generation;
        }
        self
    }

    /// What is said of it on a stream.
    pub fn words(&self) -> Vec<(Handle, Word)> {
        let vaults = self.vaults.iter().filter_map(|vault| {
            let word = Word {
                generation: vault.generation,
                since: vault.since,
            };
            Some((vault.handle.clone()?, word))
        });
        let awaited = self.awaited.iter().map(|handle| {
            let (generation, since) = (0, 0);
            (handle.clone(), Word { generation, since })
        });
        vaults.chain(awaited).collect()
    }

    /// Whether a change has come: the vault is held as it should be, or under this handle not at
    /// all any more.
    pub fn has_reached(&self, changed: &Changed) -> bool {
        let words = self.words();
        let mut words = words.iter().filter(|(handle, _)| *handle == changed.handle);
        words.all(|(_, word)| word.generation >= changed.at_least)
    }

    /// Checks what was read from outside: each file must be of a vault that is there.
    pub fn is_consistent(&self) -> bool {
        self.files.iter().all(|file| file.vault < self.vaults.len())
    }

    /// Namespace and name of a file's vault, and its entry.
    fn origin<'a>(&'a self, file: &'a HeldFile) -> (&'a str, &'a str, &'a EntryName) {
        let vault = &self.vaults[file.vault];
        (&vault.namespace, &vault.name, &file.entry)
    }

    fn index_of(&mut self, vault: &HeldVault) -> usize {
        let known = self.vaults.iter().position(|other| other.uid == vault.uid);
        known.unwrap_or_else(|| {
            self.vaults.push(vault.clone());
            self.vaults.len() - 1
        })
    }
}

impl HeldVault {
    /// A vault as a grant names it.
    pub(super) fn granted(vault: &GrantedVault) -> Self {
        Self {
            namespace: vault.namespace.clone(),
            name: vault.name.clone(),
            uid: vault.uid.clone(),
            generation: vault.generation,
            since: 0,
            retains: on_delete(vault.on_delete()) == OnDelete::Retain,
            handle: Handle::given(&vault.handle),
        }
    }
}

impl std::fmt::Display for HeldVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<&HeldVault> for v1::HeldVault {
    fn from(vault: &HeldVault) -> Self {
        let on_delete = if vault.retains {
            v1::OnDelete::Retain
        } else {
            v1::OnDelete::Remove
        };
        Self {
            namespace: vault.namespace.clone(),
            name: vault.name.clone(),
            uid: vault.uid.clone(),
            generation: vault.generation,
            on_delete: on_delete.into(),
            at_least: 0,
        }
    }
}

impl From<&HeldFile> for v1::HeldFile {
    fn from(file: &HeldFile) -> Self {
        Self {
            // Never more vaults than a request may name.
            vault: u32::try_from(file.vault).unwrap_or(u32::MAX),
            entry: file.entry.to_string(),
            path: file.path.to_string(),
        }
    }
}

fn on_delete(wire: v1::OnDelete) -> OnDelete {
    match wire {
        v1::OnDelete::Remove => OnDelete::Remove,
        v1::OnDelete::Retain | v1::OnDelete::Unspecified => OnDelete::Retain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(uid: &str, generation: i64) -> HeldVault {
        HeldVault {
            namespace: "shop".to_owned(),
            name: "app".to_owned(),
            uid: uid.to_owned(),
            generation,
            since: 0,
            retains: true,
            handle: Handle::given(uid.as_bytes()),
        }
    }

    fn file(vault: usize, path: &str) -> HeldFile {
        HeldFile {
            vault,
            entry: path.parse().unwrap(),
            path: path.parse().unwrap(),
        }
    }

    fn held() -> Held {
        Held {
            vaults: vec![vault("1", 5), vault("2", 1)],
            files: vec![file(0, "a"), file(1, "b")],
            awaited: Vec::new(),
        }
    }

    fn granted(vaults: Vec<HeldVault>, files: Vec<HeldFile>) -> Held {
        Held {
            vaults,
            files,
            awaited: Vec::new(),
        }
    }

    #[test]
    fn a_kept_file_brings_its_vault_along() {
        let kept = ["b".parse().unwrap()];
        let next = held()
            .successor(granted(vec![vault("1", 6)], vec![file(0, "a")]), &kept)
            .unwrap();
        assert_eq!(next.vaults, [vault("1", 6), vault("2", 1)]);
        assert_eq!(next.files, [file(0, "a"), file(1, "b")]);
    }

    #[test]
    fn a_kept_file_of_a_granted_vault_names_its_new_generation() {
        let kept = ["a".parse().unwrap()];
        let next = held()
            .successor(granted(vec![vault("1", 6)], vec![]), &kept)
            .unwrap();
        assert_eq!(next, granted(vec![vault("1", 6)], vec![file(0, "a")]));
    }

    #[test]
    fn no_vault_goes_back_a_generation_but_a_new_one_of_its_name_starts_anew() {
        let successor = |vault| held().successor(granted(vec![vault], vec![]), &[]);
        let back = successor(vault("1", 4));
        assert!(matches!(back, Err(ReleaseError::Behind { .. })));
        assert!(successor(vault("1", 5)).is_ok());
        assert!(successor(vault("3", 1)).is_ok());
    }

    #[test]
    fn a_file_that_is_not_held_cannot_be_kept() {
        let kept = ["c".parse().unwrap()];
        let next = held().successor(Held::default(), &kept);
        assert!(matches!(next, Err(ReleaseError::Malformed(_))));
    }

    #[test]
    fn a_file_is_lost_only_where_its_entry_is_at_no_path_any_more() {
        let named = |uid, name: &str| HeldVault {
            name: name.to_owned(),
            ..vault(uid, 1)
        };
        let vaults = || vec![named("1", "own"), named("2", "shared")];
        let held = granted(vaults(), vec![file(0, "a"), file(1, "b")]);
        let moved = HeldFile {
            path: "elsewhere".parse().unwrap(),
            ..file(1, "b")
        };
        let own = |file| granted(vec![named("1", "own")], vec![file]);
        let anew = vec![named("1", "own"), named("3", "shared")];
        let other = HeldFile {
            path: "b".parse().unwrap(),
            ..file(1, "c")
        };
        for (next, lost) in [
            (held.clone(), ""),
            (granted(vaults(), vec![file(0, "a"), moved]), ""),
            (granted(anew, vec![file(0, "a"), file(1, "b")]), ""),
            (own(file(0, "a")), "b"),
            (own(file(0, "b")), "a b"),
            (granted(vaults(), vec![file(0, "a"), other]), "b"),
            (Held::default(), "a b"),
        ] {
            let found = held.lost_to(&next);
            let found: Vec<&str> = found.iter().map(FilePath::as_str).collect();
            assert_eq!(found.join(" "), lost, "{next:?}");
        }
    }

    #[test]
    fn a_file_of_no_vault_is_inconsistent() {
        assert!(held().is_consistent());
        assert!(
            !Held {
                vaults: vec![],
                ..held()
            }
            .is_consistent()
        );
    }

    #[test]
    fn a_volume_knows_with_what_its_pod_started() {
        let start = granted(vec![vault("1", 5)], vec![]).from_the_start();
        let later = granted(vec![vault("1", 7), vault("2", 3)], vec![]);
        let next = start.successor(later, &[]).unwrap();
        let since: Vec<i64> = next.vaults.iter().map(|vault| vault.since).collect();
        assert_eq!(since, [5, 0], "the second came later");
        let anew = next.successor(granted(vec![vault("3", 1)], vec![]), &[]);
        assert_eq!(anew.unwrap().vaults[0].since, 0, "made anew is another");
    }

    #[test]
    fn what_is_held_and_what_is_awaited_is_said() {
        let mut held = held().from_the_start();
        held.vaults[1].handle = None;
        held.awaited = vec![Handle::given(b"later").unwrap()];
        let said: Vec<(Vec<u8>, i64, i64)> = held
            .words()
            .into_iter()
            .map(|(handle, word)| (handle.to_bytes(), word.generation, word.since))
            .collect();
        assert_eq!(said, [(b"1".to_vec(), 5, 5), (b"later".to_vec(), 0, 0)]);
    }

    #[test]
    fn a_change_has_come_when_it_is_held_or_its_handle_is_gone() {
        let changed = |handle: &str, at_least| Changed {
            handle: Handle::given(handle.as_bytes()).unwrap(),
            at_least,
            known: true,
        };
        let mut held = held();
        held.awaited = vec![Handle::given(b"later").unwrap()];
        for (handle, at_least, reached) in [
            ("1", 4, true),
            ("1", 5, true),
            ("1", 6, false),
            ("later", 1, false),
            ("gone", 9, true),
        ] {
            assert_eq!(held.has_reached(&changed(handle, at_least)), reached);
        }
    }

    #[test]
    fn what_an_older_agent_remembered_can_be_read() {
        let text = r#"{"vaults":[{"namespace":"shop","name":"app","uid":"1","generation":5,
            "retains":true}],"files":[{"vault":0,"entry":"a","path":"a"}]}"#;
        let read: Held = serde_json::from_str(text).unwrap();
        assert_eq!((read.vaults[0].since, read.files.len()), (0, 1));
        assert!(read.words().is_empty());
    }

    #[test]
    fn no_handle_is_remembered() {
        let text = serde_json::to_string(&held()).unwrap();
        assert!(
            !text.contains("handle") && !text.contains("awaited"),
            "{text}"
        );
    }
}
