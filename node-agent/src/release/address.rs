//! Where the operator is: `[https://]host:port`, the host being the name in its certificate.

use std::{fmt, str::FromStr};

use rustls_pki_types::ServerName;

/// A checked `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Address {
    /// What the operator's certificate must say.
    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// What to resolve and connect to.
    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError(text.chars().take(300).collect());
        let text = text.strip_prefix("https://").unwrap_or(text);
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| refuse())?,
            name: ServerName::try_from(host.to_owned()).map_err(|_| refuse())?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The text is no `host:port`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not host:port")]
pub struct AddressError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_addresses_are_read() {
        for text in [
            "secretvault-operator.secretvault-system.svc:8443",
            "10.0.0.1:1",
            "[::1]:8443",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
            let url = format!("https://{text}");
            assert_eq!(url.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_certificate_could_name_is_refused() {
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:65536",
            "http://host:1",
            "a b:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
