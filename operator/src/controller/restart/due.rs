//! Which pods are to be made anew: those that ask for it and started before the contents changed.

use std::collections::BTreeMap;

use secretvault_crds::SecretVault;

use super::changes::Changes;
use crate::consumers::{PodName, Usages};

/// A pod, at one time of its name's life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodId {
    pub(super) name: PodName,
    pub(super) uid: String,
}

/// The pods that are to be made anew, and for which changes.
///
/// What changed and is not contents, such as who may have them, is no reason. Nor is a generation of
/// which the status does not speak yet.
pub(super) fn due<'a>(
    usages: &Usages,
    vaults: impl IntoIterator<Item = &'a SecretVault>,
) -> BTreeMap<PodId, Changes> {
    let mut due: BTreeMap<PodId, Changes> = BTreeMap::new();
    for vault in vaults {
        let Some((uid, generation)) = contents(vault) else {
            continue;
        };
        let pods = usages.get(uid).into_iter().flat_map(|usage| usage.pods());
        for (name, usage) in pods {
            if usage.restart && usage.since < generation && !usage.uid.is_empty() {
                let pod = PodId {
                    name: name.clone(),
                    uid: usage.uid.clone(),
                };
                due.entry(pod).or_default().add(uid, generation);
            }
        }
    }
    due
}

/// A vault's UID, and the generation that last changed its contents.
fn contents(vault: &SecretVault) -> Option<(&str, i64)> {
    let status = vault.status.as_ref()?;
    let current = status.observed_generation == vault.metadata.generation;
    let generation = status.content_generation.filter(|_| current)?;
    Some((vault.metadata.uid.as_deref()?, generation))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secretvault_crds::{DataKey, Resealed, SecretVaultSpec, SecretVaultStatus};

    use super::*;
    use crate::consumers::{Usage, Use};

    fn vault(observed: i64, content: Option<i64>) -> SecretVault {
        let mut vault = SecretVault::new("app", SecretVaultSpec::default());
        vault.metadata.uid = Some("u".into());
        vault.metadata.generation = Some(7);
        vault.status = Some(SecretVaultStatus {
            observed_generation: Some(observed),
            content_generation: content,
            ..SecretVaultStatus::default()
        });
        vault
    }

    fn usages(since: i64, restart: bool, uid: &str) -> Usages {
        let usage = Use {
            generation: 7,
            since,
            restart,
            uid: uid.to_owned(),
            ..Use::default()
        };
        let usage = Usage::of([("web".to_owned(), usage)]);
        [("u".to_owned(), Arc::new(usage))].into()
    }

    #[test]
    fn a_pod_is_due_when_it_asks_for_it_and_is_older_than_the_contents() {
        let cases = [
            ("older", usages(4, true, "p"), vault(7, Some(5)), "u@5"),
            ("as old", usages(5, true, "p"), vault(7, Some(5)), ""),
            ("younger", usages(6, true, "p"), vault(7, Some(5)), ""),
            ("does not ask", usages(4, false, "p"), vault(7, Some(5)), ""),
            ("without a uid", usages(4, true, ""), vault(7, Some(5)), ""),
            (
                "status is late",
                usages(4, true, "p"),
                vault(6, Some(5)),
                "",
            ),
            ("status is old", usages(4, true, "p"), vault(7, None), ""),
        ];
        for (case, usages, vault, expected) in cases {
            let due = due(&usages, [&vault]);
            let changes = due.values().next().cloned().unwrap_or_default();
            assert_eq!(changes.to_string(), expected, "{case}");
        }
    }

    /// Seals every value anew, and has the status say so.
    fn resealed(vault: &mut SecretVault, changed: bool) {
        let from = vault.spec.content_revision();
        vault.spec.data.insert("a".into(), "sv1:B".into());
        let to = vault.spec.stored_revision();
        let resealed = Resealed { from, to };
        vault.spec.data_key = Some(DataKey {
            resealed: Some(resealed).filter(|_| !changed),
            ..DataKey::default()
        });
        vault.metadata.generation = Some(8);
        speak(vault);
    }

    fn speak(vault: &mut SecretVault) {
        let generation = vault.metadata.generation;
        let (since, revision) = vault.spec.content(vault.status.as_ref(), generation);
        let status = vault.status.get_or_insert_default();
        status.observed_generation = generation;
        status.content_generation = since;
        status.content_revision = Some(revision);
    }

    #[test]
    fn values_that_are_only_sealed_anew_make_no_pod_due() {
        for changed in [false, true] {
            let mut vault = vault(7, None);
            vault.spec.data.insert("a".into(), "sv1:A".into());
            vault.status = None;
            speak(&mut vault);
            resealed(&mut vault, changed);
            let due = due(&usages(7, true, "p"), [&vault]);
            assert_eq!(due.is_empty(), !changed, "{changed}");
        }
    }

    #[test]
    fn a_vault_that_was_made_anew_is_another_one() {
        let mut other = vault(7, Some(5));
        other.metadata.uid = Some("v".into());
        assert!(due(&usages(4, true, "p"), [&other]).is_empty());
    }
}
