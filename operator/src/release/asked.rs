//! What is asked for one volume: the message becomes checked types once.

use secretvault_delivery::v1::{self, PodReference, Volume};
use secretvault_vault::names::{MAX_OWNER_ID, NameError};
use secretvault_vault::plan::{Held, HeldFile, HeldVault};
use secretvault_vault::{FileAttributes, FileMode, OnDelete, Request, VaultRef};
use thiserror::Error;

use super::denied::Denied;

/// What a volume wants, and what it has.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) held: Held,
}

impl Asked {
    /// Reads the volume's attributes, as those of a pod in `namespace`, and what it holds.
    ///
    /// # Errors
    /// The attributes are wrong, which is the pod author's mistake, or the rest is, which is the
    /// agent's.
    pub(super) fn parse(volume: &Volume, namespace: &str) -> Result<Self, Denied> {
        let defaults = defaults(volume.defaults.unwrap_or_default())?;
        Ok(Self {
            request: Request::parse(namespace, &volume.vaults, &volume.items, defaults)?,
            held: held(volume)?,
        })
    }

    /// Whether the volume was published before.
    pub(super) fn holds_files(&self) -> bool {
        !self.held.files.is_empty()
    }
}

/// The pod that the agent names; nothing if it names none.
pub(super) fn claimed_pod(volume: &Volume) -> PodReference {
    volume.pod.clone().unwrap_or_default()
}

/// What an agent must not send.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum AskedError {
    /// An entry or a path of a held file is no name.
    #[error("held file: {0}")]
    HeldName(#[from] NameError),
    /// A file's permissions beyond 0777.
    #[error("mode {0:#o} is beyond 0777")]
    Mode(u32),
    /// A user or group id that means "unchanged".
    #[error("{0} is not from 0 to {MAX_OWNER_ID}")]
    Owner(u32),
    /// More held files or vaults than a volume can have.
    #[error("it holds too many files or vaults")]
    TooMany,
}

fn defaults(defaults: v1::FileDefaults) -> Result<FileAttributes, AskedError> {
    let owner = |id: Option<u32>| match id {
        Some(id) if id > MAX_OWNER_ID => Err(AskedError::Owner(id)),
        id => Ok(id),
    };
    let mode = |bits: u32| FileMode::try_from(bits).map_err(|_| AskedError::Mode(bits));
    Ok(FileAttributes {
        uid: owner(defaults.uid)?,
        gid: owner(defaults.gid)?,
        mode: defaults.mode.map(mode).transpose()?,
    })
}

fn held(volume: &Volume) -> Result<Held, AskedError> {
    if volume.held_vaults.len() > MAX_HELD_VAULTS || volume.held_files.len() > MAX_HELD_FILES {
        return Err(AskedError::TooMany);
    }
    let files = volume.held_files.iter().map(held_file);
    Ok(Held {
        vaults: volume.held_vaults.iter().map(held_vault).collect(),
        files: files.collect::<Result<_, _>>()?,
    })
}

fn held_vault(vault: &v1::HeldVault) -> HeldVault {
    HeldVault {
        reference: VaultRef::new(vault.namespace.clone(), vault.name.clone()),
        uid: vault.uid.clone(),
        generation: vault.generation,
        on_delete: match vault.on_delete() {
            v1::OnDelete::Remove => OnDelete::Remove,
            v1::OnDelete::Retain | v1::OnDelete::Unspecified => OnDelete::Retain,
        },
    }
}

fn held_file(file: &v1::HeldFile) -> Result<HeldFile, AskedError> {
    Ok(HeldFile {
        // An index that is not there is as good as none.
        vault: usize::try_from(file.vault).unwrap_or(usize::MAX),
        entry: file.entry.parse()?,
        path: file.path.parse()?,
    })
}

/// Four times what a volume can ask for: those that are gone are still held.
const MAX_HELD_VAULTS: usize = 64;

/// Sixteen vaults of 500 entries, twice.
const MAX_HELD_FILES: usize = 16_000;

#[cfg(test)]
mod tests {
    use super::*;
    use secretvault_delivery::v1::Reason;

    fn volume() -> Volume {
        let mut volume = Volume::default();
        volume.vaults = "app, platform/shared".to_owned();
        volume.items = "db/password=password".to_owned();
        volume.defaults = Some(v1::FileDefaults {
            uid: Some(1),
            gid: None,
            mode: Some(0o400),
        });
        volume.held_vaults = vec![v1::HeldVault {
            namespace: "shop".to_owned(),
            name: "app".to_owned(),
            uid: "u".to_owned(),
            generation: 7,
            on_delete: v1::OnDelete::Remove.into(),
        }];
        volume.held_files = vec![v1::HeldFile {
            vault: 0,
            entry: "db/password".to_owned(),
            path: "password".to_owned(),
        }];
        volume
    }

    #[test]
    fn a_volume_is_read_as_its_pods() {
        let asked = Asked::parse(&volume(), "shop").unwrap();
        let expected = [
            VaultRef::new("shop", "app"),
            VaultRef::new("platform", "shared"),
        ];
        let vaults = asked.request.vaults.into_iter();
        assert_eq!(vaults.map(|vault| vault.reference).collect::<Vec<_>>(), expected);
        assert_eq!(
            asked.request.defaults.mode,
            Some(FileMode::try_from(0o400).unwrap())
        );
        assert_eq!(asked.held.vaults[0].on_delete, OnDelete::Remove);
        assert_eq!(asked.held.files[0].path.as_str(), "password");
        assert!(asked.holds_files());
    }

    #[test]
    fn a_volume_that_cannot_be_read_is_an_invalid_request() {
        type Change = fn(&mut Volume);
        let cases: [(&str, Change); 9] = [
            ("no vault", |v| v.vaults.clear()),
            ("no vault's name", |v| v.vaults = "App!".to_owned()),
            ("no entry's name", |v| v.items = "../etc".to_owned()),
            ("a mode with setuid", |v| {
                v.defaults.as_mut().unwrap().mode = Some(0o4755);
            }),
            ("no user", |v| {
                v.defaults.as_mut().unwrap().uid = Some(u32::MAX);
            }),
            ("no group", |v| {
                v.defaults.as_mut().unwrap().gid = Some(u32::MAX);
            }),
            ("a held path outside", |v| {
                v.held_files[0].path = "../x".to_owned();
            }),
            ("too many held files", |v| {
                v.held_files = vec![v.held_files[0].clone(); MAX_HELD_FILES + 1];
            }),
            ("too many held vaults", |v| {
                v.held_vaults = vec![v.held_vaults[0].clone(); MAX_HELD_VAULTS + 1];
            }),
        ];
        for (name, change) in cases {
            let mut volume = volume();
            change(&mut volume);
            let denied = Asked::parse(&volume, "shop").unwrap_err();
            assert_eq!(denied.reason(), Reason::InvalidRequest, "{name}: {denied}");
        }
    }
}
