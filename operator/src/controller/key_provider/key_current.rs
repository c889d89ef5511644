//! Whether all vaults of a provider have the key and the provider that they should have, in words.

use super::super::condition::Says;
use super::super::rotation::Progress;
use super::plan::{Observed, Unrotated};

/// What the condition `KeyCurrent` is to say; none: nobody can tell.
pub(super) fn says(observed: &Observed) -> Option<Says> {
    let name = &observed.name;
    let keys = match &observed.keys {
        Ok(keys) => keys,
        Err(fault) => {
            let message = format!("KeyProvider {name} is not ready: {fault}");
            return Some(no(NOT_READY, message));
        }
    };
    if let Some(unrotated) = &observed.unrotated {
        return Some(unrotated.says());
    }
    let effective = match &observed.effective {
        Ok(effective) => effective,
        Err(why) => return Some(no(MIGRATION_IMPOSSIBLE, why.clone())),
    };
    let progress = observed.progress.as_ref()?;
    let Progress {
        total,
        done,
        failed,
        ..
    } = progress;
    let goal = if effective == name {
        format!("key {}", keys.primary_key_id)
    } else {
        format!("moved to KeyProvider {effective}")
    };
    if let Some((vault, why)) = progress.failures.first() {
        let message = format!(
            "{done} of {total} vaults are done ({goal}), {failed} cannot be brought there now: \
             vault {vault}: {why}"
        );
        return Some(no(FAILING, message));
    }
    if done < total {
        let message = format!("{done} of {total} vaults are done ({goal})");
        return Some(no(REWRAPPING, message));
    }
    let message = match total {
        0 => format!("no vault needs a key of KeyProvider {name}"),
        _ => format!("all vaults are done ({goal}): {total}"),
    };
    Some(Says {
        holds: true,
        reason: CURRENT,
        message,
    })
}

impl Unrotated {
    fn says(&self) -> Says {
        let (reason, why) = match self {
            Self::Full(why) => (
                KEYRING_FULL,
                format!("and there is no room: {why} in spec.local.retire"),
            ),
            Self::Missing(key_id) => (
                ROTATION_FAILED,
                format!(
                    "and is not made: vaults need key {key_id}, which the keyring lacks; restore the \
                     keyring that has it, or the new key would be lost with this one"
                ),
            ),
            Self::Unwritten(why) => (
                ROTATION_FAILED,
                format!("and cannot be made: {why}; it is tried again"),
            ),
        };
        no(reason, format!("a new key is due, {why}"))
    }
}

fn no(reason: &'static str, message: String) -> Says {
    Says {
        holds: false,
        reason,
        message,
    }
}

pub(super) const CURRENT: &str = "Current";
pub(super) const FAILING: &str = "Failing";
pub(super) const KEYRING_FULL: &str = "KeyringFull";
pub(super) const MIGRATION_IMPOSSIBLE: &str = "MigrationImpossible";
pub(super) const NOT_READY: &str = "ProviderNotReady";
pub(super) const REWRAPPING: &str = "Rewrapping";
pub(super) const ROTATION_FAILED: &str = "RotationFailed";

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use crate::keys::{KeyFault, ProviderFault};

    fn observed(progress: Option<Progress>) -> Observed {
        Observed {
            keys: Ok(Keys {
                primary_key_id: "k2".into(),
                ..Keys::default()
            }),
            progress,
            ..Observed::test()
        }
    }

    fn progress(done: usize, total: usize, failures: &[&str]) -> Option<Progress> {
        let failures = failures.iter();
        let failures: Vec<_> = failures
            .map(|vault| ((*vault).to_owned(), "no".to_owned()))
            .collect();
        Some(Progress {
            total,
            done,
            failed: failures.len(),
            failures,
            ..Progress::default()
        })
    }

    fn said(change: impl FnOnce(&mut Observed)) -> String {
        let mut observed = observed(progress(1, 3, &[]));
        change(&mut observed);
        let says = says(&observed).unwrap();
        let holds = if says.holds { "True" } else { "False" };
        format!("{holds} {}: {}", says.reason, says.message)
    }

    #[test]
    fn reasons_by_how_far_vaults_are() {
        let cases = [
            (
                progress(3, 3, &[]),
                "True Current: all vaults are done (key k2): 3",
            ),
            (
                progress(0, 0, &[]),
                "True Current: no vault needs a key of KeyProvider default",
            ),
            (
                progress(1, 3, &[]),
                "False Rewrapping: 1 of 3 vaults are done (key k2)",
            ),
            (
                progress(1, 3, &["shop/app", "shop/b"]),
                "False Failing: 1 of 3 vaults are done (key k2), 2 cannot be brought there now: vault \
                 shop/app: no",
            ),
        ];
        for (progress, expected) in cases {
            assert_eq!(said(|it| it.progress = progress), expected);
        }
        let moves = said(|it| it.effective = Ok("transit".into()));
        assert_eq!(
            moves,
            "False Rewrapping: 1 of 3 vaults are done (moved to KeyProvider transit)"
        );
        assert_eq!(says(&observed(None)), None);
    }

    #[test]
    fn reasons_by_what_is_in_the_way() {
        let nowhere = said(|it| it.effective = Err("a -> b -> a".into()));
        assert_eq!(nowhere, "False MigrationImpossible: a -> b -> a");
        let fault = ProviderFault::new(KeyFault::Sealed, "it is sealed");
        assert_eq!(
            said(|it| it.keys = Err(fault)),
            "False ProviderNotReady: KeyProvider default is not ready: it is sealed"
        );
        let cases = [
            (
                Unrotated::Full("it is full: retire some".into()),
                "False KeyringFull: a new key is due, and there is no room: it is full: retire some in \
                 spec.local.retire",
            ),
            (
                Unrotated::Missing("k9".into()),
                "False RotationFailed: a new key is due, and is not made: vaults need key k9, which \
                 the keyring lacks; restore the keyring that has it, or the new key would be lost with \
                 this one",
            ),
            (
                Unrotated::Unwritten("forbidden".into()),
                "False RotationFailed: a new key is due, and cannot be made: forbidden; it is tried \
                 again",
            ),
        ];
        for (unrotated, expected) in cases {
            assert_eq!(said(|it| it.unrotated = Some(unrotated)), expected);
        }
    }
}
