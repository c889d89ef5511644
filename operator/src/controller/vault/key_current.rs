//! Whether a vault has the key and the provider that it should have, in words.

use std::sync::Arc;

use secretvault_crds::SecretVault;

use super::super::{
    condition::Says,
    rotation::{Action, Obstacle, Why},
};

/// How a vault stands to the key and the provider that it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// What is to be done.
    pub(super) action: Action,
    /// Why that failed the last time.
    pub(super) trouble: Option<Arc<str>>,
}

impl Stand {
    /// Whether it will change by itself in a moment.
    pub(super) fn moves(&self) -> bool {
        match &self.action {
            Action::Blocked(_) | Action::Nothing => false,
            Action::Reseal(_) | Action::Rewrap => self.trouble.is_none(),
        }
    }

    /// What the condition `KeyCurrent` is to say.
    pub(super) fn says(&self, vault: &SecretVault) -> Says {
        let data_key = vault.spec.data_key.as_ref();
        let provider = data_key.map_or("", |it| it.provider.as_str());
        let waiting = match &self.action {
            Action::Blocked(blocked) => {
                let reason = match blocked.obstacle {
                    Obstacle::NotAllowed => NOT_ALLOWED,
                    Obstacle::NotReady => NOT_READY,
                };
                return says(false, reason, blocked.message.clone());
            }
            Action::Nothing => {
                let message = data_key.map_or_else(
                    || "nothing in the vault is sealed".to_owned(),
                    |it| {
                        format!(
                            "key {} of KeyProvider {provider} wraps the data key",
                            it.key_id
                        )
                    },
                );
                return says(true, CURRENT, message);
            }
            Action::Reseal(Why::Age) => {
                "the data key is as old as spec.rekeyAfter says: the vault gets a new one"
                    .to_owned()
            }
            Action::Reseal(Why::Provider) => {
                format!("the vault moves from KeyProvider {provider} to another one")
            }
            Action::Rewrap => {
                format!("KeyProvider {provider} has a newer key, which is to wrap the data key")
            }
        };
        match &self.trouble {
            Some(trouble) => says(
                false,
                FAILING,
                format!("{waiting}; it is tried again: {trouble}"),
            ),
            None => says(false, REWRAPPING, waiting),
        }
    }
}

fn says(holds: bool, reason: &'static str, message: String) -> Says {
    Says {
        holds,
        reason,
        message,
    }
}

pub(super) const CURRENT: &str = "Current";
pub(super) const FAILING: &str = "Failing";
pub(super) const NOT_ALLOWED: &str = "ProviderNotAllowed";
pub(super) const NOT_READY: &str = "ProviderNotReady";
pub(super) const REWRAPPING: &str = "Rewrapping";

#[cfg(test)]
mod tests {
    use secretvault_crds::{DataKey, SecretVaultSpec};

    use super::*;
    use crate::controller::rotation::Blocked;

    fn said(action: Action, trouble: Option<&str>) -> (bool, String) {
        let data_key = DataKey {
            provider: "default".into(),
            key_id: "k1".into(),
            ..DataKey::default()
        };
        let spec = SecretVaultSpec {
            data_key: Some(data_key),
            ..SecretVaultSpec::default()
        };
        let stand = Stand {
            action,
            trouble: trouble.map(Into::into),
        };
        let says = stand.says(&SecretVault::new("app", spec));
        (says.holds, format!("{}: {}", says.reason, says.message))
    }

    #[test]
    fn reasons_by_what_is_to_be_done() {
        let current = "Current: key k1 of KeyProvider default wraps the data key";
        assert_eq!(said(Action::Nothing, None), (true, current.to_owned()));
        // What failed is over.
        assert_eq!(
            said(Action::Nothing, Some("no")),
            (true, current.to_owned())
        );
        let cases = [
            (
                Action::Rewrap,
                "KeyProvider default has a newer key, which is to wrap the data key",
            ),
            (
                Action::Reseal(Why::Provider),
                "the vault moves from KeyProvider default to another one",
            ),
            (
                Action::Reseal(Why::Age),
                "the data key is as old as spec.rekeyAfter says: the vault gets a new one",
            ),
        ];
        for (action, expected) in cases {
            let waiting = said(action.clone(), None);
            assert_eq!(waiting, (false, format!("Rewrapping: {expected}")));
            let failing = said(action, Some("no"));
            let expected = format!("Failing: {expected}; it is tried again: no");
            assert_eq!(failing, (false, expected));
        }
    }

    #[test]
    fn reasons_by_what_is_in_the_way() {
        let cases = [
            (Obstacle::NotAllowed, "ProviderNotAllowed: why"),
            (Obstacle::NotReady, "ProviderNotReady: why"),
        ];
        for (obstacle, expected) in cases {
            let blocked = Action::Blocked(Blocked {
                obstacle,
                message: "why".into(),
            });
            let said = said(blocked, Some("no"));
            assert_eq!(said, (false, expected.to_owned()));
        }
    }
}
