//! What is asked for one volume: the message becomes checked types once.

use secretvault_delivery::v1::{self, PodReference, Volume};
use secretvault_vault::names::{MAX_OWNER_ID, NameError};
use secretvault_vault::plan::{Held, HeldFile, HeldVault};
use secretvault_vault::{
    FileAttributes, FileMode, OnDelete, PodFacts, Request, Subject, VaultRef, resolve_items,
};
use thiserror::Error;

use super::denied::Denied;
use super::identity::PodIdentity;

/// What a volume wants, and what it has.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) held: Held,
}

impl Asked {
    /// The vaults that are asked for.
    pub(super) fn vaults(&self) -> impl Iterator<Item = &VaultRef> {
        self.request.vaults.iter().map(|vault| &vault.reference)
    }

    /// Whether this is the volume's first publish, as far as the agent says: nobody was told of its
    /// notices yet.
    pub(super) fn is_first(&self) -> bool {
        self.held.vaults.is_empty() && self.held.files.is_empty()
    }
}

/// Reads the volume's attributes, as those of this pod.
///
/// Path variables are filled in from what was verified: the reviewed token, and the labels of the
/// living pod.
///
/// # Errors
/// The attributes are wrong, which is the pod author's mistake. That can come later too: a label
/// that they name can be taken off a pod that runs.
pub(super) fn request(
    volume: &Volume,
    pod: &PodIdentity,
    subject: &Subject,
) -> Result<Request, Denied> {
    let facts = PodFacts {
        namespace: &pod.namespace,
        name: Some(&pod.name),
        service_account: &pod.service_account,
        node: Some(&pod.node),
        labels: &subject.labels,
    };
    let items = resolve_items(&volume.items, &facts)?;
    let defaults = defaults(volume.defaults.unwrap_or_default())?;
    let request = Request::parse(&pod.namespace, &volume.vaults, &items, defaults)?;
    Ok(request)
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

/// What the volume holds, which is as its agent says.
///
/// # Errors
/// The agent says what cannot be.
pub(super) fn held(volume: &Volume) -> Result<Held, AskedError> {
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
        // What the volume must not go back behind is what its agent knows of, held or heard of.
        generation: vault.generation.max(vault.at_least),
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
pub(super) const MAX_HELD_VAULTS: usize = 64;

/// Sixteen vaults of 500 entries, twice.
pub(super) const MAX_HELD_FILES: usize = 16_000;

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
            at_least: 0,
        }];
        volume.held_files = vec![v1::HeldFile {
            vault: 0,
            entry: "db/password".to_owned(),
            path: "password".to_owned(),
        }];
        volume
    }

    fn pod() -> PodIdentity {
        PodIdentity {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: "pod-uid".to_owned(),
            service_account: "web".to_owned(),
            node: "node-a".to_owned(),
        }
    }

    fn labelled(key: &str, value: &str) -> Subject {
        Subject {
            labels: [(key.to_owned(), value.to_owned())].into(),
            ..Subject::default()
        }
    }

    fn read(volume: &Volume) -> Result<Asked, Denied> {
        read_as(volume, &Subject::default())
    }

    fn read_as(volume: &Volume, subject: &Subject) -> Result<Asked, Denied> {
        let held = held(volume)?;
        let request = request(volume, &pod(), subject)?;
        Ok(Asked { request, held })
    }

    #[test]
    fn a_volume_is_read_as_its_pods() {
        let asked = read(&volume()).unwrap();
        let expected = [
            VaultRef::new("shop", "app"),
            VaultRef::new("platform", "shared"),
        ];
        assert_eq!(asked.vaults().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(
            asked.request.defaults.mode,
            Some(FileMode::try_from(0o400).unwrap())
        );
        assert_eq!(asked.held.vaults[0].on_delete, OnDelete::Remove);
        assert_eq!(asked.held.files[0].path.as_str(), "password");
        assert!(!asked.is_first());
    }

    #[test]
    fn a_volume_that_names_held_vaults_or_files_is_not_published_for_the_first_time() {
        let mut volume = volume();
        volume.held_files.clear();
        assert!(!read(&volume).unwrap().is_first());
        volume.held_vaults.clear();
        assert!(read(&volume).unwrap().is_first());
    }

    #[test]
    fn path_variables_are_the_verified_pods_whatever_the_agent_calls_it() {
        let mut volume = volume();
        volume.pod = Some(PodReference {
            namespace: "n".to_owned(),
            name: "n".to_owned(),
            uid: "n".to_owned(),
            service_account: "n".to_owned(),
        });
        volume.items = "${pod.namespace}/${pod.name}/${pod.serviceAccountName}/${node.name}, \
                        teams/${pod.labels['team']}/**"
            .to_owned();
        let asked = read_as(&volume, &labelled("team", "blue")).unwrap();
        let items = asked.request.items.iter();
        let items: Vec<&str> = items.map(|item| item.pattern.as_str()).collect();
        assert_eq!(items, ["shop/web-0/web/node-a", "teams/blue/**"]);
    }

    #[test]
    fn a_path_variable_that_has_no_value_or_one_that_chooses_more_is_an_invalid_request() {
        let mut volume = volume();
        volume.items = "teams/${pod.labels['team']}/token".to_owned();
        for value in ["..", "a..b", "*", "a/b", "a,b"] {
            let denied = read_as(&volume, &labelled("team", value)).unwrap_err();
            assert_eq!(denied.reason(), Reason::InvalidRequest, "{value}: {denied}");
            assert!(denied.to_string().contains("cannot be a part"), "{denied}");
        }
        let denied = read_as(&volume, &labelled("tea", "blue")).unwrap_err();
        assert_eq!(denied.reason(), Reason::InvalidRequest);
        assert!(denied.to_string().contains("no label \"team\""), "{denied}");
        assert!(read_as(&volume, &labelled("team", "blue")).is_ok());
    }

    #[test]
    fn a_volume_that_cannot_be_read_is_an_invalid_request() {
        type Change = fn(&mut Volume);
        let cases: [(&str, Change); 10] = [
            ("no vault", |v| v.vaults.clear()),
            ("no vault's name", |v| v.vaults = "App!".to_owned()),
            ("a variable among vaults", |v| {
                v.vaults = "${pod.namespace}".to_owned();
            }),
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
            let denied = read(&volume).unwrap_err();
            assert_eq!(denied.reason(), Reason::InvalidRequest, "{name}: {denied}");
        }
    }
}
