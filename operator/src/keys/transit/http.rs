//! The connection to the server.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Url};
use vaultrs::api::EndpointMiddleware;
use vaultrs::client::{VaultClient, VaultClientSettings};

use super::place::Place;
use crate::keys::{KeyFault, ProviderFault};

/// Connects to the one address of a provider.
///
/// # Guarantees
/// * The server's certificate is checked, against the given authorities alone where some are given.
/// * A token is sent to that address only: no redirect is followed, and no proxy is used, whatever
///   the environment says.
#[derive(Clone)]
pub(super) struct Connector {
    http: reqwest::Client,
    address: Url,
    namespace: Option<String>,
}

impl Connector {
    pub(super) fn new(place: &Place, ca_bundle: Option<&str>) -> Result<Self, ProviderFault> {
        let address = Url::parse(&place.address).ok();
        // A password in it would be shown in messages.
        let plain = |url: &Url| url.username().is_empty() && url.password().is_none();
        let address = address
            .filter(|url| url.scheme() == "https" && url.has_host() && url.path() == "/")
            .filter(plain);
        let address = address.ok_or_else(|| {
            ProviderFault::new(
                KeyFault::Unsupported,
                "spec.vaultTransit.address must be https://HOST:PORT",
            )
        })?;
        let mut builder = reqwest::ClientBuilder::new()
            .tls_backend_rustls()
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(IDLE);
        if let Some(bundle) = ca_bundle {
            builder = builder.tls_certs_only(certificates(bundle)?);
        }
        let http = builder.build().map_err(|_| match ca_bundle {
            Some(_) => no_certificates(),
            None => ProviderFault::new(
                KeyFault::BadCertificate,
                "the operator's image trusts no certificate authority: put the certificate that \
                 signs the server's into spec.vaultTransit.caBundle",
            ),
        })?;
        Ok(Self {
            http,
            address,
            namespace: place.namespace.clone(),
        })
    }

    /// A client that sends this token; an empty one is none. All share their connections.
    pub(super) fn client(&self, token: &str) -> VaultClient {
        VaultClient {
            http: rustify::clients::reqwest::Client::new(self.address.as_str(), self.http.clone()),
            middle: EndpointMiddleware {
                token: token.to_owned(),
                version: "v1".to_owned(),
                wrap: None,
                namespace: self.namespace.clone(),
            },
            // Only what is above is used for requests. Given here, so that no variable of the
            // environment is read.
            settings: VaultClientSettings {
                address: self.address.clone(),
                ca_certs: Vec::new(),
                identity: None,
                timeout: None,
                token: String::new(),
                verify: true,
                version: 1,
                wrapping: false,
                namespace: self.namespace.clone(),
                proxy: None,
            },
        }
    }
}

fn certificates(bundle: &str) -> Result<Vec<Certificate>, ProviderFault> {
    let text: String = bundle.split_ascii_whitespace().collect();
    let pem = BASE64_STANDARD
        .decode(text)
        .map_err(|_| no_certificates())?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|_| no_certificates())?;
    if found.is_empty() {
        return Err(no_certificates());
    }
    Ok(found)
}

fn no_certificates() -> ProviderFault {
    ProviderFault::new(
        KeyFault::BadCertificate,
        "spec.vaultTransit.caBundle holds no certificates: it must be certificates in PEM, \
         encoded in base64 once more",
    )
}

const CONNECT: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(address: &str) -> Result<Connector, ProviderFault> {
        let place = Place {
            address: address.to_owned(),
            mount: "transit".to_owned(),
            key: "key".to_owned(),
            namespace: None,
        };
        let authority = rcgen::generate_simple_self_signed(["bao".to_owned()]).unwrap();
        let bundle = BASE64_STANDARD.encode(authority.cert.pem());
        Connector::new(&place, Some(&bundle))
    }

    #[test]
    fn only_a_plain_https_address_is_taken() {
        assert!(connector("https://bao.vault.svc:8200").is_ok());
        for address in [
            "http://bao:8200",
            "https://",
            "https://token@bao:8200",
            "https://user:secret@bao:8200",
            "https://bao:8200/path",
            "bao:8200",
            "",
        ] {
            let fault = connector(address).err().unwrap();
            assert_eq!(fault.reason, KeyFault::Unsupported, "{address}");
            assert!(!fault.message.contains("secret@"), "{fault}");
        }
    }
}
