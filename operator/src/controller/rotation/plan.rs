//! What is to be done about one vault's data key: decided from facts, and nothing else.

use jiff::{SignedDuration, Timestamp};
use secretvault_crds::{DataKey, SecretVaultSpec};

/// What is known about the providers of one vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Facts {
    /// The provider that the vault should have, or why nobody can say.
    pub(in crate::controller) wanted: Result<Wanted, String>,
    /// Whether the provider can unwrap that wraps the data key now, or why not.
    pub(in crate::controller) held: Result<(), String>,
}

/// The provider that a vault should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Wanted {
    /// Its name.
    pub(in crate::controller) provider: String,
    /// Whether it may wrap for vaults of this namespace.
    pub(in crate::controller) allowed: bool,
    /// Whether it wraps new data keys with the key that wraps this one; or why it does nothing.
    pub(in crate::controller) current: Result<bool, String>,
}

/// What is to be done about one vault's data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Action {
    /// What should be done cannot be.
    Blocked(Blocked),
    /// It is as it should be.
    Nothing,
    /// It gets a new data key, and every value is sealed anew.
    Reseal(Why),
    /// Its data key is wrapped with the provider's newest key.
    Rewrap,
}

/// Why a vault gets a new data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Why {
    /// The one that it has is as old as `rekeyAfter` says.
    Age,
    /// It should have another provider.
    Provider,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Blocked {
    pub(in crate::controller) obstacle: Obstacle,
    /// For a person: what, and the remedy.
    pub(in crate::controller) message: String,
}

/// What kind of thing is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Obstacle {
    /// The namespace's vaults may not have the provider.
    NotAllowed,
    /// A provider that is needed cannot be used, or there is none.
    NotReady,
}

/// Decides about the vault of this specification.
pub(in crate::controller) fn plan(
    spec: &SecretVaultSpec,
    namespace: &str,
    facts: &Facts,
    now: Timestamp,
) -> Action {
    // Nothing in it is sealed.
    let Some(data_key) = &spec.data_key else {
        return Action::Nothing;
    };
    let wanted = match &facts.wanted {
        Ok(wanted) => wanted,
        Err(why) => return blocked(Obstacle::NotReady, why.clone()),
    };
    let provider = &wanted.provider;
    if !wanted.allowed {
        let why = format!(
            "KeyProvider {provider} may not be used in namespace {namespace}: allow it in its \
             spec.allowedNamespaces, or name another in spec.keyProvider"
        );
        return blocked(Obstacle::NotAllowed, why);
    }
    let current = match &wanted.current {
        Ok(current) => *current,
        Err(why) => return blocked(Obstacle::NotReady, why.clone()),
    };
    let why = if *provider != data_key.provider {
        Some(Why::Provider)
    } else {
        is_too_old(spec, data_key, now).then_some(Why::Age)
    };
    match (why, &facts.held) {
        (Some(_), Err(why)) => blocked(Obstacle::NotReady, why.clone()),
        (Some(why), Ok(())) => Action::Reseal(why),
        (None, _) if current => Action::Nothing,
        (None, _) => Action::Rewrap,
    }
}

/// A data key that does not say when it was made is from before that was written down.
fn is_too_old(spec: &SecretVaultSpec, data_key: &DataKey, now: Timestamp) -> bool {
    let Some(most) = &spec.rekey_after else {
        return false;
    };
    let Some(created) = &data_key.created else {
        return true;
    };
    // A length that does not fit is for ever.
    SignedDuration::try_from(most.duration())
        .is_ok_and(|most| now.duration_since(created.0) >= most)
}

fn blocked(obstacle: Obstacle, message: String) -> Action {
    Action::Blocked(Blocked { obstacle, message })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    /// A vault that `default` wraps; its data key was made at this second, if it says so.
    fn spec(created: Option<i64>, rekey_after: Option<&str>) -> SecretVaultSpec {
        let data_key = DataKey {
            provider: "default".into(),
            created: created.map(|second| Time(at(second))),
            ..DataKey::default()
        };
        SecretVaultSpec {
            data_key: Some(data_key),
            rekey_after: rekey_after.map(|text| text.parse().unwrap()),
            ..SecretVaultSpec::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wanted(provider: &str, allowed: bool, current: Result<bool, &str>) -> Facts {
        Facts {
            wanted: Ok(Wanted {
                provider: provider.into(),
                allowed,
                current: current.map_err(str::to_owned),
            }),
            held: Ok(()),
        }
    }

    fn lost(facts: Facts) -> Facts {
        Facts {
            held: Err("the old one is gone".into()),
            ..facts
        }
    }

    fn decided(spec: &SecretVaultSpec, facts: &Facts, second: i64) -> String {
        match plan(spec, "shop", facts, at(second)) {
            Action::Blocked(blocked) => format!("{:?}: {}", blocked.obstacle, blocked.message),
            action @ (Action::Nothing | Action::Reseal(_) | Action::Rewrap) => {
                format!("{action:?}")
            }
        }
    }

    #[test]
    fn a_vault_gets_the_key_and_the_provider_that_it_should_have() {
        let plain = || spec(Some(0), None);
        let cases = [
            (
                "current",
                plain(),
                wanted("default", true, Ok(true)),
                "Nothing",
            ),
            (
                "an older key",
                plain(),
                wanted("default", true, Ok(false)),
                "Rewrap",
            ),
            (
                "another provider",
                plain(),
                wanted("transit", true, Ok(false)),
                "Reseal(Provider)",
            ),
            (
                "another provider whose key has the same name",
                plain(),
                wanted("transit", true, Ok(true)),
                "Reseal(Provider)",
            ),
            (
                "nothing sealed",
                SecretVaultSpec::default(),
                wanted("transit", true, Ok(false)),
                "Nothing",
            ),
        ];
        for (case, spec, facts, expected) in cases {
            assert_eq!(decided(&spec, &facts, 9), expected, "{case}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let plain = spec(Some(0), Some("1s"));
        let nowhere = Facts {
            wanted: Err("there is no KeyProvider x".into()),
            held: Ok(()),
        };
        let cases = [
            (
                "no such provider",
                nowhere,
                "NotReady: there is no KeyProvider x",
            ),
            (
                "not allowed, and somewhere else",
                wanted("transit", false, Ok(false)),
                "NotAllowed: KeyProvider transit may not be used in namespace shop: allow it in its \
                 spec.allowedNamespaces, or name another in spec.keyProvider",
            ),
            (
                "not allowed any more, where it is",
                wanted("default", false, Ok(true)),
                "NotAllowed: KeyProvider default may not be used in namespace shop: allow it in its \
                 spec.allowedNamespaces, or name another in spec.keyProvider",
            ),
            (
                "not allowed weighs more than not ready",
                wanted("transit", false, Err("sealed")),
                "NotAllowed: KeyProvider transit may not be used in namespace shop: allow it in its \
                 spec.allowedNamespaces, or name another in spec.keyProvider",
            ),
            (
                "not ready",
                wanted("transit", true, Err("sealed")),
                "NotReady: sealed",
            ),
            (
                "not ready, where it is",
                wanted("default", true, Err("sealed")),
                "NotReady: sealed",
            ),
            (
                "the old one is not ready",
                lost(wanted("transit", true, Ok(false))),
                "NotReady: the old one is gone",
            ),
        ];
        for (case, facts, expected) in cases {
            assert_eq!(decided(&plain, &facts, 9), expected, "{case}");
        }
    }

    #[test]
    fn a_data_key_is_replaced_when_it_is_as_old_as_it_may_become() {
        let cases = [
            (spec(Some(100), None), 1 << 33, "Nothing"),
            (spec(Some(100), Some("60s")), 159, "Nothing"),
            (spec(Some(100), Some("60s")), 160, "Reseal(Age)"),
            (spec(Some(100), Some("60s")), 99, "Nothing"),
            (spec(None, Some("60s")), 0, "Reseal(Age)"),
        ];
        for (spec, second, expected) in cases {
            let facts = wanted("default", true, Ok(true));
            assert_eq!(decided(&spec, &facts, second), expected, "{second}");
            // A new data key is wrapped with the newest key: one write, not two.
            let facts = wanted("default", true, Ok(false));
            let expected = expected.replace("Nothing", "Rewrap");
            assert_eq!(decided(&spec, &facts, second), expected, "{second}");
        }
    }
}
