//! Service-account tokens: minted by the API server, or made up.

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::Method;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secretvault_e2e::{STATE, api};
use serde_json::{Value, json};

/// A JSON Web Token.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// Any text in a token's place.
    #[must_use]
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The token itself.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// What it says of itself, if it is a token.
    #[must_use]
    pub(crate) fn claims(&self) -> Option<Value> {
        let mut parts = self.0.split('.');
        let (Some(_), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        Some(claims)
    }

    /// The same header, with claims as `change` leaves them, signed by `key`.
    #[must_use]
    pub(crate) fn resigned(&self, key: &Key, change: impl FnOnce(&mut Value)) -> Self {
        let [header, claims, _] = self.parts();
        let mut claims = decode(claims);
        change(&mut claims);
        let signed = format!("{header}.{}", encode(&claims));
        let signature = BASE64.encode(key.sign(signed.as_bytes()));
        Self(format!("{signed}.{signature}"))
    }

    /// Changed claims under the signature of the true ones.
    #[must_use]
    pub(crate) fn altered(&self, change: impl FnOnce(&mut Value)) -> Self {
        let [header, claims, signature] = self.parts();
        let mut claims = decode(claims);
        change(&mut claims);
        Self(format!("{header}.{}.{signature}", encode(&claims)))
    }

    /// The same claims, with a header that says there is no signature, and none.
    #[must_use]
    pub(crate) fn unsigned(&self) -> Self {
        let [header, claims, _] = self.parts();
        let mut header = decode(header);
        header["alg"] = "none".into();
        Self(format!("{}.{claims}.", encode(&header)))
    }

    fn parts(&self) -> [&str; 3] {
        let parts: Vec<&str> = self.0.split('.').collect();
        parts.try_into().expect("a token has three parts")
    }
}

fn decode(part: &str) -> Value {
    let bytes = BASE64.decode(part).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn encode(part: &Value) -> String {
    BASE64.encode(part.to_string())
}

/// What a token is bound to.
pub(crate) enum Bound {
    Node(String),
    Nothing,
    Pod(String),
}

impl Bound {
    /// To this pod.
    #[must_use]
    pub(crate) fn to_pod(pod: &Value) -> Self {
        let name = pod["metadata"]["name"].as_str().expect("a pod's name");
        Self::Pod(name.to_owned())
    }
}

/// Has the API server make a token.
#[must_use]
pub(crate) fn mint(namespace: &str, account: &str, audience: &str, bound: Bound) -> Token {
    let mut spec = json!({"audiences": []});
    if !audience.is_empty() {
        spec["audiences"] = json!([audience]);
    }
    let (kind, name) = match bound {
        Bound::Node(name) => ("Node", name),
        Bound::Nothing => ("", String::new()),
        Bound::Pod(name) => ("Pod", name),
    };
    if !name.is_empty() {
        spec["boundObjectRef"] = json!({"kind": kind, "apiVersion": "v1", "name": name});
    }
    let path = api::path(namespace, &format!("serviceaccount/{account}")) + "/token";
    let answer = api::ask(&Method::POST, &path, Some(&json!({"spec": spec})));
    let answer = answer.expect("a token");
    let token = answer["status"]["token"].as_str();
    Token(token.expect("a token").to_owned())
}

/// A key that signs tokens.
pub(crate) struct Key(Arc<dyn SigningKey>);

impl Key {
    /// The cluster's own: what it signs is genuine.
    #[must_use]
    pub(crate) fn of_cluster() -> Self {
        let path = format!("{STATE}/pki/service-account.key");
        Self::parse(&std::fs::read(path).expect("the cluster's key"))
    }

    /// A new one of the same kind, which the cluster does not know.
    #[must_use]
    pub(crate) fn random() -> Self {
        let arguments = [
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ];
        let made = Command::new("openssl").args(arguments).output();
        let made = made.expect("openssl runs, the cluster's certificates are made with it");
        assert!(made.status.success(), "openssl: {made:?}");
        Self::parse(&made.stdout)
    }

    fn parse(pem: &[u8]) -> Self {
        let key = PrivateKeyDer::from_pem_slice(pem).expect("a key in PEM");
        Self(any_supported_type(&key).expect("a key that can sign"))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signer = signer.expect("an RSA key, as RS256 wants");
        signer.sign(message).expect("a signature")
    }
}
