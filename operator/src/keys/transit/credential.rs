//! What the operator logs in with, read anew each time.

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use secretvault_crds::CredentialSource;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::place::source_told;
use crate::keys::{KeyFault, ProviderFault};

/// Where credentials come from: the operator's own namespace, its files, and its own account.
#[derive(Clone)]
pub(super) struct Credentials {
    secrets: Api<Secret>,
    accounts: Api<ServiceAccount>,
    reviews: Api<SelfSubjectReview>,
}

impl Credentials {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            accounts: Api::namespaced(client.clone(), namespace),
            reviews: Api::all(client.clone()),
        }
    }

    /// Reads a token or a secret id. White space around it is not part of it.
    pub(super) async fn read(
        &self,
        source: &CredentialSource,
    ) -> Result<Zeroizing<String>, ProviderFault> {
        let bytes = match (&source.secret, &source.file) {
            (Some(secret), None) => self.of_secret(&secret.name, &secret.key).await?,
            (None, Some(file)) => of_file(&file.path).await?,
            (None, None) | (Some(_), Some(_)) => {
                return Err(missing("a credential needs exactly one of secret and file"));
            }
        };
        let text = std::str::from_utf8(&bytes).map(str::trim);
        // It becomes a header of a request.
        let sane = |text: &&str| {
            (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match text.ok().filter(sane) {
            Some(text) => Ok(Zeroizing::new(text.to_owned())),
            None => Err(missing(&format!(
                "{} is empty, or holds what can be no credential: put it there again",
                source_told(source)
            ))),
        }
    }

    /// Asks for a token of the operator's own service account, for this audience.
    pub(super) async fn account_token(
        &self,
        audience: &str,
    ) -> Result<Zeroizing<String>, ProviderFault> {
        let review = SelfSubjectReview::default();
        let review = self.reviews.create(&PostParams::default(), &review).await;
        let review = review.map_err(|_| no_token("the API server does not say who we are"))?;
        let user = review.status.and_then(|status| status.user_info);
        let user = user.and_then(|user| user.username).unwrap_or_default();
        let account = user
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'))
            .map(|(_, account)| account)
            .ok_or_else(|| no_token("the operator does not run as a service account"))?;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(TOKEN_SECONDS),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let made = self
            .accounts
            .create_token_request(account, &parameters, &request);
        let made = made.await.map_err(|_| {
            no_token(
                "the API server gives none: the operator needs create on serviceaccounts/token \
                 for its own account",
            )
        })?;
        let token = made.status.map(|status| Zeroizing::new(status.token));
        token.ok_or_else(|| no_token("the API server's answer holds none"))
    }

    async fn of_secret(&self, name: &str, key: &str) -> Result<Zeroizing<Vec<u8>>, ProviderFault> {
        let secret = self.secrets.get_opt(name).await.map_err(|_| {
            ProviderFault::new(
                KeyFault::CredentialMissing,
                format!("the API server did not answer for Secret {name}"),
            )
        })?;
        let secret = secret.ok_or_else(|| {
            missing(&format!(
                "there is no Secret {name} in the operator's namespace: create it with the \
                 credential under {key}"
            ))
        })?;
        let mut data = secret.data.unwrap_or_default();
        let found = data.remove(key).map(|bytes| Zeroizing::new(bytes.0));
        found.ok_or_else(|| {
            missing(&format!(
                "Secret {name} has no key {key}: put the credential there"
            ))
        })
    }
}

async fn of_file(path: &str) -> Result<Zeroizing<Vec<u8>>, ProviderFault> {
    let fault = |error: std::io::Error| {
        missing(&format!(
            "the credential file {path} cannot be read: {error}"
        ))
    };
    // At its final size, so that no freed copy stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    let file = tokio::fs::File::open(path).await.map_err(fault)?;
    file.take(MAX_LEN as u64 + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(fault)?;
    Ok(bytes)
}

fn missing(message: &str) -> ProviderFault {
    ProviderFault::new(KeyFault::CredentialMissing, message)
}

fn no_token(why: &str) -> ProviderFault {
    missing(&format!(
        "the operator has no token of its service account to log in with: {why}"
    ))
}

/// The shortest life that the API server grants. The token is used once, at once.
const TOKEN_SECONDS: i64 = 600;

/// More than any token has: a file of another kind is noticed.
const MAX_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use secretvault_crds::{CredentialSecret, KeyringFile};
    use serde_json::json;

    use super::*;
    use crate::keys::fake::ApiServer;

    const SECRET: &str = "/api/v1/namespaces/secretvault/secrets/bao-token";

    fn credentials(server: &ApiServer) -> Credentials {
        Credentials::new(&server.client(), "secretvault")
    }

    fn secret() -> CredentialSource {
        CredentialSource {
            secret: Some(CredentialSecret {
                name: "bao-token".to_owned(),
                key: "token".to_owned(),
            }),
            file: None,
        }
    }

    fn file(path: &std::path::Path) -> CredentialSource {
        CredentialSource {
            secret: None,
            file: Some(KeyringFile {
                path: path.to_str().unwrap().to_owned(),
            }),
        }
    }

    fn stored(data: &serde_json::Value) -> ApiServer {
        let server = ApiServer::new();
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": data});
        server.set(SECRET, object);
        server
    }

    #[tokio::test]
    async fn a_credential_of_a_secret_is_read_without_the_space_around_it() {
        let server = stored(&json!({"token": "IHMuYWJjCg=="})); // " s.abc\n"
        let read = credentials(&server).read(&secret()).await.unwrap();
        assert_eq!(read.as_str(), "s.abc");
    }

    #[tokio::test]
    async fn what_is_missing_is_named_with_the_remedy() {
        let cases = [
            (
                ApiServer::new(),
                "there is no Secret bao-token in the operator's namespace: create it with the \
                 credential under token",
            ),
            (
                stored(&json!({"other": "eA=="})),
                "Secret bao-token has no key token: put the credential there",
            ),
            (
                stored(&json!({"token": ""})),
                "key token of Secret bao-token is empty, or holds what can be no credential: put \
                 it there again",
            ),
        ];
        for (server, message) in cases {
            let fault = credentials(&server).read(&secret()).await.unwrap_err();
            assert_eq!(
                (fault.reason, fault.message.as_str()),
                (KeyFault::CredentialMissing, message)
            );
        }
    }

    #[tokio::test]
    async fn what_can_be_no_header_is_no_credential() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = credentials(&ApiServer::new());
        for bytes in [
            &b"a\nb"[..],
            b"a b",
            b"a\0b",
            "é".as_bytes(),
            b" \n",
            b"\xff",
        ] {
            std::fs::write(&path, bytes).unwrap();
            let fault = credentials.read(&file(&path)).await.unwrap_err();
            assert_eq!(fault.reason, KeyFault::CredentialMissing, "{bytes:?}");
            assert!(!fault.message.contains("a b"), "{fault}");
        }
        std::fs::write(&path, "x".repeat(MAX_LEN + 1)).unwrap();
        assert!(credentials.read(&file(&path)).await.is_err());
        std::fs::write(&path, "hvs.abc\n").unwrap();
        let read = credentials.read(&file(&path)).await.unwrap();
        assert_eq!(read.as_str(), "hvs.abc");
    }

    #[tokio::test]
    async fn a_token_is_asked_for_of_the_own_account_and_for_the_audience() {
        let server = ApiServer::new();
        server.set(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
                "status": {"userInfo": {"username": "system:serviceaccount:secretvault:operator"}},
            }),
        );
        let path = "/api/v1/namespaces/secretvault/serviceaccounts/operator/token";
        let credentials = credentials(&server);
        let fault = credentials.account_token("vault").await.unwrap_err();
        assert!(
            fault.message.contains("serviceaccounts/token"),
            "{}",
            fault.message
        );
        server.set(
            path,
            json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"audiences": []},
                "status": {"token": "a.b.c", "expirationTimestamp": "2026-01-01T00:00:00Z"},
            }),
        );
        let token = credentials.account_token("vault").await.unwrap();
        assert_eq!(token.as_str(), "a.b.c");
        let asked = server.asked(path).pop().unwrap();
        assert_eq!(asked["spec"]["audiences"], json!(["vault"]));
        assert_eq!(asked["spec"]["expirationSeconds"], 600);
    }

    #[tokio::test]
    async fn who_is_no_service_account_has_no_token() {
        let server = ApiServer::new();
        server.set(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
                "status": {"userInfo": {"username": "admin"}},
            }),
        );
        let fault = credentials(&server)
            .account_token("vault")
            .await
            .unwrap_err();
        assert!(fault.message.contains("does not run as a service account"));
    }
}
