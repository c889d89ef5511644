//! A grant is opened: each envelope once, by its own key, with the binding that says where it
//! belongs.

use std::sync::Arc;

use secretvault_delivery::v1::{self, Grant, GrantedVault, Sealed, file::Content};
use secretvault_envelope::{Binding, EntryKey, Envelope, Plaintext, SaltedBox};
use secretvault_vault::{EntryName, FileMode, FilePath, names::MAX_OWNER_ID};
use secretvault_volume::File;

use super::{Handle, Held, HeldFile, HeldVault, ReleaseError};

/// What a volume must hold, opened.
#[derive(Debug)]
pub struct Opened {
    /// The files that were granted.
    pub files: Vec<(FilePath, File)>,
    /// Files that stay as they are in the volume.
    pub retained: Vec<FilePath>,
    /// What the volume holds then.
    pub held: Held,
    /// What the pod's owner should know.
    pub notices: Vec<String>,
}

impl Opened {
    /// What a volume must hold that only loses these paths.
    pub fn without(withdrawn: &[FilePath], held: &Held) -> Self {
        let stays = |file: &&HeldFile| !withdrawn.contains(&file.path);
        let files: Vec<HeldFile> = held.files.iter().filter(stays).cloned().collect();
        let notice = |path| format!("{path} goes: it is no longer granted");
        Self {
            files: Vec::new(),
            retained: files.iter().map(|file| file.path.clone()).collect(),
            held: Held {
                files,
                ..held.clone()
            },
            notices: withdrawn.iter().map(notice).collect(),
        }
    }
}

/// Opens a grant for a volume that holds `held`.
///
/// A file whose group nobody chose takes the volume's `group`. Its mode stays as the vault says: a
/// 0400 that somebody wrote must not become a 0440, as kubelet makes it of a Secret's.
///
/// # Errors
/// An envelope that does not open, or an answer that breaks the protocol. Nothing is half done.
pub fn open(grant: &Grant, held: &Held, group: Option<u32>) -> Result<Opened, ReleaseError> {
    let (held, retained) = by_name(grant, held)?;
    let mut files: Vec<(FilePath, File)> = Vec::with_capacity(grant.files.len());
    // The granted ones come first, in their order.
    for (index, (file, named)) in grant.files.iter().zip(&held.files).enumerate() {
        let content = match files.get(source(&grant.files, index)?) {
            Some((_, earlier)) => Arc::clone(&earlier.content),
            None => Arc::new(open_content(file, &grant.vaults[named.vault])?),
        };
        files.push((named.path.clone(), place(file, content, group)?));
    }
    Ok(Opened {
        files,
        retained,
        held,
        notices: grant.notices.clone(),
    })
}

/// What a volume that holds `held` holds after a grant, and what of that stays as it is: nothing is
/// opened for it.
///
/// # Errors
/// An answer that breaks the protocol, or goes back behind what is held.
pub fn by_name(grant: &Grant, held: &Held) -> Result<(Held, Vec<FilePath>), ReleaseError> {
    let files: Result<Vec<HeldFile>, ReleaseError> = grant
        .files
        .iter()
        .map(|file| {
            Ok(HeldFile {
                vault: vault_of(grant, file)?,
                entry: EntryName::try_from(file.entry.as_str()).map_err(|_| BAD_PATH)?,
                path: FilePath::try_from(file.path.as_str()).map_err(|_| BAD_PATH)?,
            })
        })
        .collect();
    let retained: Result<Vec<FilePath>, _> = grant
        .retained
        .iter()
        .map(|path| FilePath::try_from(path.as_str()))
        .collect();
    let retained = retained.map_err(|_| BAD_PATH)?;
    let granted = Held {
        vaults: grant.vaults.iter().map(HeldVault::granted).collect(),
        files: files?,
        awaited: grant
            .awaited
            .iter()
            .filter_map(|handle| Handle::given(handle))
            .collect(),
    };
    Ok((held.successor(granted, &retained)?, retained))
}

fn vault_of(grant: &Grant, file: &v1::File) -> Result<usize, ReleaseError> {
    let index = usize::try_from(file.vault).ok();
    let index = index.filter(|index| *index < grant.vaults.len());
    index.ok_or(ReleaseError::Malformed(
        "a file of a vault that it does not name",
    ))
}

/// How long the values of a grant's files are at least, by the lengths of what they are opened
/// from: nothing is opened for it.
///
/// # Errors
/// An answer that breaks the protocol.
pub fn least_lengths(grant: &Grant) -> Result<Vec<usize>, ReleaseError> {
    let indices = 0..grant.files.len();
    indices
        .map(|index| {
            let source = source(&grant.files, index)?;
            Ok(least_length(&grant.files[source]))
        })
        .collect()
}

fn least_length(file: &v1::File) -> usize {
    match &file.content {
        Some(Content::Public(bytes)) => bytes.len(),
        Some(Content::Sealed(sealed)) => {
            let decoded = sealed.envelope.len() / 4 * 3;
            decoded.saturating_sub(MOST_BESIDE_A_VALUE)
        }
        Some(Content::SameAs(_)) | None => 0,
    }
}

/// Which file the content of one is in: an earlier one of the same entry, or itself.
fn source(files: &[v1::File], index: usize) -> Result<usize, ReleaseError> {
    let file = &files[index];
    let Some(Content::SameAs(named)) = file.content else {
        return Ok(index);
    };
    let earlier = usize::try_from(named).ok().filter(|earlier| {
        files[..index].get(*earlier).is_some_and(|earlier| {
            let names_another = matches!(earlier.content, Some(Content::SameAs(_)));
            !names_another && (earlier.vault, &earlier.entry) == (file.vault, &file.entry)
        })
    });
    earlier.ok_or(ReleaseError::Malformed(
        "a file with the content of none before it",
    ))
}

fn open_content(file: &v1::File, vault: &GrantedVault) -> Result<Plaintext, ReleaseError> {
    match &file.content {
        Some(Content::Public(bytes)) => Ok(Plaintext::from(bytes.as_slice())),
        Some(Content::Sealed(sealed)) => open_sealed(sealed, vault, &file.entry),
        Some(Content::SameAs(_)) | None => Err(ReleaseError::Malformed("a file without content")),
    }
}

fn place(
    file: &v1::File,
    content: Arc<Plaintext>,
    group: Option<u32>,
) -> Result<File, ReleaseError> {
    let gid = group.filter(|_| file.gid_is_default).unwrap_or(file.gid);
    if file.uid > MAX_OWNER_ID || gid > MAX_OWNER_ID {
        return Err(ReleaseError::Malformed("an owner that does not exist"));
    }
    Ok(File {
        uid: file.uid,
        gid,
        mode: FileMode::try_from(file.mode)
            .map_err(|_| ReleaseError::Malformed("a mode beyond 0777"))?,
        content,
    })
}

fn open_sealed(
    sealed: &Sealed,
    vault: &GrantedVault,
    entry: &str,
) -> Result<Plaintext, ReleaseError> {
    let binding = Binding::new(&vault.scope, &vault.namespace, &vault.name, entry);
    let opened = sealed
        .envelope
        .parse::<Envelope>()
        .ok()
        .and_then(|envelope| {
            let key = EntryKey::try_from(sealed.key.as_slice()).ok()?;
            envelope.open(&key, &binding).ok()
        });
    opened.ok_or_else(|| ReleaseError::DoesNotOpen {
        vault: format!("{}/{}", vault.namespace, vault.name),
        entry: entry.to_owned(),
    })
}

const BAD_PATH: ReleaseError = ReleaseError::Malformed("a path or an entry that cannot be");

/// What there is in an envelope beside its value: the prefix, as if it were encoded too, salt and
/// tag, the value's length, and as much padding as there may be.
const MOST_BESIDE_A_VALUE: usize = 3 + SaltedBox::OVERHEAD + 4 + 63;

#[cfg(test)]
mod tests {
    use secretvault_envelope::Dek;

    use super::*;

    fn grant(dek: &Dek, value: &str) -> Grant {
        let binding = Binding::new("scope", "shop", "app", "db");
        let envelope = Envelope::seal(dek, &binding, &Plaintext::from(value.to_owned())).unwrap();
        let sealed = Sealed {
            key: dek.entry_key(&binding, &envelope).expose().to_vec(),
            envelope: envelope.to_string(),
        };
        Grant {
            vaults: vec![GrantedVault {
                namespace: "shop".to_owned(),
                name: "app".to_owned(),
                uid: "1".to_owned(),
                generation: 1,
                scope: "scope".to_owned(),
                ..GrantedVault::default()
            }],
            files: vec![v1::File {
                path: "db_password".to_owned(),
                entry: "db".to_owned(),
                mode: 0o400,
                gid_is_default: true,
                content: Some(Content::Sealed(sealed)),
                ..v1::File::default()
            }],
            ..Grant::default()
        }
    }

    fn opened(grant: &Grant, group: Option<u32>) -> Result<Opened, ReleaseError> {
        open(grant, &Held::default(), group)
    }

    fn good() -> Grant {
        grant(&Dek::generate().unwrap(), "hunter2")
    }

    #[test]
    fn an_envelope_opens_by_its_key() {
        let opened = opened(&good(), None).unwrap();
        let (path, file) = &opened.files[0];
        assert_eq!(path.as_str(), "db_password");
        assert_eq!(file.content.expose(), b"hunter2");
        assert_eq!(opened.held.files[0].entry.as_str(), "db");
        assert!(opened.held.vaults[0].retains);
    }

    #[test]
    fn a_public_file_is_taken_as_it_is() {
        let mut grant = good();
        grant.files[0].content = Some(Content::Public(b"db.svc".to_vec()));
        assert_eq!(
            opened(&grant, None).unwrap().files[0].1.content.expose(),
            b"db.svc"
        );
    }

    /// The same entry at a second path.
    fn twice() -> Grant {
        let mut grant = good();
        grant.files.push(v1::File {
            path: "copy".to_owned(),
            mode: 0o440,
            content: Some(Content::SameAs(0)),
            ..grant.files[0].clone()
        });
        grant
    }

    #[test]
    fn an_entry_at_two_paths_is_opened_once() {
        let opened = opened(&twice(), None).unwrap();
        let [(_, first), (path, second)] = opened.files.as_slice() else {
            panic!("{opened:?}")
        };
        assert_eq!(second.content.expose(), b"hunter2");
        assert!(Arc::ptr_eq(&first.content, &second.content));
        assert_eq!((path.as_str(), second.mode.bits()), ("copy", 0o440));
        assert_eq!(opened.held.files[1].entry.as_str(), "db");
    }

    #[test]
    fn a_file_has_the_content_of_an_earlier_one_of_its_entry_or_none() {
        let other_vault = |grant: &mut Grant| {
            grant.vaults.push(grant.vaults[0].clone());
            grant.files[1].vault = 1;
        };
        let of_a_copy = |grant: &mut Grant| {
            grant.files.push(grant.files[1].clone());
            grant.files[2].content = Some(Content::SameAs(1));
        };
        let changes: [fn(&mut Grant); 7] = [
            |grant| grant.files[1].content = Some(Content::SameAs(1)),
            |grant| grant.files[1].content = Some(Content::SameAs(2)),
            |grant| grant.files[1].content = Some(Content::SameAs(u32::MAX)),
            |grant| grant.files[0].content = Some(Content::SameAs(0)),
            |grant| "other".clone_into(&mut grant.files[1].entry),
            other_vault,
            of_a_copy,
        ];
        for change in changes {
            let mut grant = twice();
            change(&mut grant);
            let error = opened(&grant, None).unwrap_err();
            assert!(matches!(error, ReleaseError::Malformed(_)), "{error:?}");
            let error = least_lengths(&grant).unwrap_err();
            assert!(matches!(error, ReleaseError::Malformed(_)), "{error:?}");
        }
    }

    #[test]
    fn lengths_are_known_before_anything_is_opened_and_never_too_large() {
        for length in [0, 1, 59, 60, 61, 124, 125, 4096, 300_000, 512 * 1024] {
            let mut grant = grant(&Dek::generate().unwrap(), &"x".repeat(length));
            let Some(Content::Sealed(sealed)) = &mut grant.files[0].content else {
                panic!("{grant:?}")
            };
            // Nothing opens any more.
            sealed.key[0] ^= 1;
            let least = least_lengths(&grant).unwrap()[0];
            assert!(least <= length && length - least <= 128, "{least} {length}");
        }
        assert_eq!(least_lengths(&twice()).unwrap().len(), 2);
    }

    #[test]
    fn an_envelope_of_another_entry_vault_namespace_or_scope_does_not_open() {
        let changes: [fn(&mut Grant); 4] = [
            |grant| "other".clone_into(&mut grant.files[0].entry),
            |grant| "other".clone_into(&mut grant.vaults[0].name),
            |grant| "other".clone_into(&mut grant.vaults[0].namespace),
            |grant| "other".clone_into(&mut grant.vaults[0].scope),
        ];
        for change in changes {
            let mut grant = good();
            change(&mut grant);
            let error = opened(&grant, None).unwrap_err();
            assert!(
                matches!(error, ReleaseError::DoesNotOpen { .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn the_volumes_group_takes_the_place_of_a_gid_that_nobody_chose_and_widens_no_mode() {
        let mut grant = good();
        let file = |grant: &Grant| {
            let mut opened = opened(grant, Some(2000)).unwrap();
            opened.files.remove(0).1
        };
        assert_eq!((file(&grant).gid, file(&grant).mode.bits()), (2000, 0o400));
        grant.files[0].gid_is_default = false;
        grant.files[0].gid = 7;
        assert_eq!((file(&grant).gid, file(&grant).mode.bits()), (7, 0o400));
    }

    #[test]
    fn an_answer_that_breaks_the_protocol_is_refused() {
        let changes: [fn(&mut Grant); 8] = [
            |grant| grant.files[0].vault = 1,
            |grant| "../etc/shadow".clone_into(&mut grant.files[0].path),
            |grant| "/etc/shadow".clone_into(&mut grant.files[0].path),
            |grant| "kubernetes.io/x".clone_into(&mut grant.files[0].path),
            |grant| grant.files[0].mode = 0o4755,
            |grant| grant.files[0].uid = u32::MAX,
            |grant| grant.files[0].content = None,
            |grant| grant.retained.push("unknown".to_owned()),
        ];
        for change in changes {
            let mut grant = good();
            change(&mut grant);
            let error = opened(&grant, None).unwrap_err();
            assert!(matches!(error, ReleaseError::Malformed(_)), "{error:?}");
        }
    }
}
