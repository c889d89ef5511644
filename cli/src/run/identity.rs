//! As whom a command asks: `--as NAMESPACE:ACCOUNT`.

use std::str::FromStr;

use secretvault_vault::names::{is_dns_label, is_dns_subdomain};

/// The service account that a command stands for. Access rules speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its namespace, and that of vaults that are named without one.
    pub namespace: String,
    /// Its name.
    pub account: String,
}

/// A text that names no service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be NAMESPACE:ACCOUNT, such as default:default")]
pub struct NoIdentity;

impl Identity {
    /// The account that a pod gets which names none.
    pub(super) fn of_namespace(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            account: "default".to_owned(),
        }
    }
}

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let (namespace, account) = text.split_once(':').ok_or(NoIdentity)?;
        if is_dns_label(namespace) && is_dns_subdomain(account) {
            Ok(Self {
                namespace: namespace.to_owned(),
                account: account.to_owned(),
            })
        } else {
            Err(NoIdentity)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_and_an_account_are_read() {
        let identity = "shop:web.v2".parse::<Identity>().unwrap();
        assert_eq!(
            (&*identity.namespace, &*identity.account),
            ("shop", "web.v2")
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "shop", ":", "shop:", ":web", "a.b:web", "shop:a:b", "Shop:web", "a/b:c",
        ] {
            assert_eq!(text.parse::<Identity>(), Err(NoIdentity), "{text}");
        }
    }
}
