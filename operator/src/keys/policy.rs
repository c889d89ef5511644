//! Which provider a vault should have, and which namespaces may have it: decided from the
//! providers' specifications, and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secretvault_crds::api::{self, ANNOTATION_KEY_PROVIDER};
use secretvault_crds::{AllowedNamespaces, KeyProviderSpec};

use super::KeyError;

/// What a provider's specification says about vaults, beside how it wraps their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The namespaces whose vaults it may wrap for. Absent: all.
    allowed: Option<AllowedNamespaces>,
    /// The provider that stands for it.
    migrate_to: Option<String>,
}

impl Policy {
    /// The part of a specification that is about vaults.
    #[must_use]
    pub fn of(spec: &KeyProviderSpec) -> Self {
        Self {
            allowed: spec.allowed_namespaces.clone(),
            migrate_to: spec.migrate_to.clone(),
        }
    }

    /// The provider that stands for this one.
    #[must_use]
    pub fn migrate_to(&self) -> Option<&str> {
        self.migrate_to.as_deref()
    }

    /// Whether the provider may wrap for vaults of that namespace: one that is named, or one that
    /// has all of the labels.
    #[must_use]
    pub fn allows(&self, namespace: &NamespaceFacts) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        let has = |(key, value): (&String, &String)| namespace.labels.get(key) == Some(value);
        // No labels are no rule, not one that every namespace meets.
        let labelled = !allowed.match_labels.is_empty() && allowed.match_labels.iter().all(has);
        labelled || allowed.names.contains(&namespace.name)
    }
}

/// What decides about a namespace's key provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The key provider that its annotation names for vaults that name none.
    pub key_provider: Option<String>,
}

impl NamespaceFacts {
    /// What a Namespace's metadata says.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        let annotations = meta.annotations.as_ref();
        let annotation = annotations.and_then(|all| all.get(ANNOTATION_KEY_PROVIDER));
        Self {
            name: meta.name.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            key_provider: annotation.filter(|it| !it.is_empty()).cloned(),
        }
    }

    /// The provider that a vault of this namespace names: its own choice, else the namespace's,
    /// else the default.
    #[must_use]
    pub fn named<'a>(&'a self, spec_key_provider: Option<&'a str>) -> &'a str {
        spec_key_provider
            .or(self.key_provider.as_deref())
            .unwrap_or(api::DEFAULT_KEY_PROVIDER)
    }
}

/// Follows `migrateTo` from `named`. `policy` gives what is known of a provider.
///
/// # Errors
/// [`KeyError`] if there is no provider of that name, or the way does not end at one.
pub(super) fn effective<'a>(
    named: &str,
    policy: impl Fn(&str) -> Option<&'a Policy>,
) -> Result<String, KeyError> {
    let mut chain = vec![named];
    loop {
        let last = chain[chain.len() - 1];
        let Some(policy) = policy(last) else {
            return Err(missing(&chain));
        };
        let Some(next) = policy.migrate_to() else {
            return Ok(last.to_owned());
        };
        let known = chain.contains(&next);
        chain.push(next);
        if known {
            return Err(KeyError::MigratesInCircle {
                chain: told(&chain),
            });
        }
        if chain.len() > MAX_STEPS + 1 {
            return Err(KeyError::MigratesTooFar {
                chain: told(&chain),
                limit: MAX_STEPS,
            });
        }
    }
}

fn missing(chain: &[&str]) -> KeyError {
    let name = chain[chain.len() - 1].to_owned();
    match chain {
        [_] => KeyError::NoProvider { provider: name },
        _ => KeyError::MigratesNowhere {
            chain: told(chain),
            missing: name,
        },
    }
}

fn told(chain: &[&str]) -> String {
    chain.join(" -> ")
}

/// The most steps of `migrateTo` that are followed: more is a mistake, and the message must end.
const MAX_STEPS: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn moves(pairs: &[(&str, Option<&str>)]) -> HashMap<String, Policy> {
        let policy = |to: &Option<&str>| Policy {
            migrate_to: to.map(str::to_owned),
            ..Policy::default()
        };
        pairs
            .iter()
            .map(|(name, to)| ((*name).to_owned(), policy(to)))
            .collect()
    }

    fn follow(named: &str, pairs: &[(&str, Option<&str>)]) -> Result<String, String> {
        let policies = moves(pairs);
        effective(named, |name| policies.get(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_provider_that_moves_nowhere_is_its_own() {
        assert_eq!(follow("a", &[("a", None)]), Ok("a".to_owned()));
    }

    #[test]
    fn moves_are_followed_to_their_end() {
        let pairs = [("a", Some("b")), ("b", Some("c")), ("c", None)];
        assert_eq!(follow("a", &pairs), Ok("c".to_owned()));
    }

    #[test]
    fn a_circle_is_told_with_its_names() {
        let pairs = [("a", Some("b")), ("b", Some("c")), ("c", Some("b"))];
        assert_eq!(
            follow("a", &pairs).unwrap_err(),
            "the KeyProviders move to one another in a circle: a -> b -> c -> b: take \
             spec.migrateTo out of one of them"
        );
        assert!(follow("a", &[("a", Some("a"))]).is_err());
    }

    #[test]
    fn a_provider_that_is_not_there_is_named() {
        assert_eq!(
            follow("a", &[("a", Some("b"))]).unwrap_err(),
            "there is no KeyProvider b, to which others move (a -> b): create it, or change \
             spec.migrateTo"
        );
        let alone = follow("a", &[]).unwrap_err();
        assert!(
            alone.starts_with("there is no KeyProvider a: create it"),
            "{alone}"
        );
    }

    #[test]
    fn eight_steps_are_followed_and_nine_are_not() {
        let names: Vec<String> = (0..=9).map(|number| format!("p{number}")).collect();
        let chain = |steps: usize| {
            let mut pairs: Vec<(&str, Option<&str>)> = (0..steps)
                .map(|at| (names[at].as_str(), Some(names[at + 1].as_str())))
                .collect();
            pairs.push((names[steps].as_str(), None));
            follow("p0", &pairs)
        };
        assert_eq!(chain(8), Ok("p8".to_owned()));
        assert!(chain(9).unwrap_err().starts_with("more than 8"));
    }

    fn namespace(name: &str, labels: &[(&str, &str)]) -> NamespaceFacts {
        let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        NamespaceFacts {
            name: name.to_owned(),
            labels: labels.iter().map(label).collect(),
            key_provider: None,
        }
    }

    fn allowing(names: &[&str], labels: &[(&str, &str)]) -> Policy {
        Policy {
            allowed: Some(AllowedNamespaces {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                match_labels: namespace("", labels).labels,
            }),
            migrate_to: None,
        }
    }

    #[test]
    fn without_a_list_every_namespace_is_allowed() {
        assert!(Policy::default().allows(&namespace("shop", &[])));
    }

    #[test]
    fn a_namespace_is_allowed_by_name_or_by_all_labels() {
        let both = allowing(&["shop"], &[("env", "prod"), ("team", "web")]);
        let cases = [
            (namespace("shop", &[]), true),
            (namespace("shops", &[]), false),
            (
                namespace("other", &[("env", "prod"), ("team", "web")]),
                true,
            ),
            (namespace("other", &[("env", "prod")]), false),
            (
                namespace("other", &[("env", "prod"), ("team", "db")]),
                false,
            ),
        ];
        for (facts, expected) in cases {
            assert_eq!(both.allows(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn names_alone_do_not_allow_by_empty_labels() {
        assert!(!allowing(&["shop"], &[]).allows(&namespace("other", &[])));
        assert!(!allowing(&[], &[]).allows(&namespace("other", &[])));
    }

    #[test]
    fn a_vault_names_its_own_provider_else_its_namespaces_else_the_default() {
        let mut facts = namespace("shop", &[]);
        assert_eq!(facts.named(None), "default");
        facts.key_provider = Some("prod".to_owned());
        assert_eq!(facts.named(None), "prod");
        assert_eq!(facts.named(Some("own")), "own");
    }
}
