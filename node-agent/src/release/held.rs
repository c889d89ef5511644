//! What a volume holds, by name: told to the operator at each republish, so that it can decide what
//! stays of a vault that was deleted. No values, no keys.

use secretvault_delivery::v1::{self, GrantedVault};
use secretvault_vault::{EntryName, FilePath, OnDelete};
use serde::{Deserialize, Serialize};

use super::ReleaseError;

/// The vaults that a volume has files of, and the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// As the last grant named them.
    pub vaults: Vec<HeldVault>,
    /// Each of one of the vaults.
    pub files: Vec<HeldFile>,
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
    /// Whether its files stay when it goes.
    pub retains: bool,
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
    pub fn successor(
        &self,
        vaults: Vec<HeldVault>,
        files: Vec<HeldFile>,
        retained: &[FilePath],
    ) -> Result<Self, ReleaseError> {
        for vault in &vaults {
            if self.vaults.iter().any(|held| held.is_newer_than(vault)) {
                return Err(ReleaseError::Behind {
                    vault: vault.to_string(),
                });
            }
        }
        let mut next = Self { vaults, files };
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

    /// Checks what was read from outside: each file must be of a vault that is there.
    pub fn is_consistent(&self) -> bool {
        self.files.iter().all(|file| file.vault < self.vaults.len())
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
            retains: on_delete(vault.on_delete()) == OnDelete::Retain,
        }
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation > other.generation
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
            retains: true,
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
        }
    }

    #[test]
    fn a_kept_file_brings_its_vault_along() {
        let kept = ["b".parse().unwrap()];
        let next = held()
            .successor(vec![vault("1", 6)], vec![file(0, "a")], &kept)
            .unwrap();
        assert_eq!(next.vaults, [vault("1", 6), vault("2", 1)]);
        assert_eq!(next.files, [file(0, "a"), file(1, "b")]);
    }

    #[test]
    fn a_kept_file_of_a_granted_vault_names_its_new_generation() {
        let kept = ["a".parse().unwrap()];
        let next = held()
            .successor(vec![vault("1", 6)], vec![], &kept)
            .unwrap();
        assert_eq!(
            next,
            Held {
                vaults: vec![vault("1", 6)],
                files: vec![file(0, "a")]
            }
        );
    }

    #[test]
    fn no_vault_goes_back_a_generation_but_a_new_one_of_its_name_starts_anew() {
        let back = held().successor(vec![vault("1", 4)], vec![], &[]);
        assert!(matches!(back, Err(ReleaseError::Behind { .. })));
        assert!(held().successor(vec![vault("1", 5)], vec![], &[]).is_ok());
        assert!(held().successor(vec![vault("3", 1)], vec![], &[]).is_ok());
    }

    #[test]
    fn a_file_that_is_not_held_cannot_be_kept() {
        let kept = ["c".parse().unwrap()];
        let next = held().successor(vec![], vec![], &kept);
        assert!(matches!(next, Err(ReleaseError::Malformed(_))));
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
}
