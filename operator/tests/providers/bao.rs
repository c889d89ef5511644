//! A real server on loopback, with TLS, in memory.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tls::Certificate;

/// A server of the test's own, unsealed, with a Transit engine and the least policy. It ends with
/// the test.
pub(crate) struct Bao {
    child: Child,
    /// Holds its certificate; wiped with it.
    _folder: TempDir,
    client: Client,
    pub(crate) certificate: Certificate,
    pub(crate) address: String,
    root: String,
    unseal_key: String,
}

impl Bao {
    /// Starts one without a key.
    pub(crate) async fn start() -> Self {
        for _ in 0..5 {
            let mut bao = Self::spawned();
            if bao.answers().await {
                bao.initialise().await;
                return bao;
            }
        }
        panic!("bao does not start");
    }

    fn spawned() -> Self {
        let certificate = Certificate::of_loopback();
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let address = format!("https://127.0.0.1:{port}");
        let config = config(&folder, &certificate, port, &address);
        let child = spawn(&config, &folder);
        let pem = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([pem]).build().unwrap();
        Self {
            child,
            _folder: folder,
            client,
            certificate,
            address,
            root: String::new(),
            unseal_key: String::new(),
        }
    }

    /// Starts one with the key `secretvault`.
    pub(crate) async fn with_key() -> Self {
        let bao = Self::start().await;
        bao.make_key().await;
        bao
    }

    pub(crate) async fn make_key(&self) {
        self.post("transit/keys/secretvault", json!({})).await;
    }

    /// A token with the least policy.
    pub(crate) async fn token(&self) -> String {
        self.token_with(json!({"ttl": "1h"})).await
    }

    /// A token with the least policy and these other properties.
    pub(crate) async fn token_with(&self, mut properties: Value) -> String {
        properties["policies"] = json!(["secretvault"]);
        properties["no_default_policy"] = json!(true);
        let made = self.post("auth/token/create", properties).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn revoke(&self, token: &str) {
        let body = json!({"token": token});
        self.post("auth/token/revoke", body).await;
    }

    /// Makes an AppRole with the least policy and these other properties: its role id and secret
    /// id.
    pub(crate) async fn app_role(&self, mut properties: Value) -> (String, String) {
        properties["token_policies"] = json!("secretvault");
        properties["token_no_default_policy"] = json!(true);
        self.post("sys/auth/approle", json!({"type": "approle"}))
            .await;
        self.post("auth/approle/role/secretvault", properties).await;
        let id = self
            .ask(
                Method::GET,
                "auth/approle/role/secretvault/role-id",
                None,
                None,
            )
            .await
            .1;
        let secret = self
            .post("auth/approle/role/secretvault/secret-id", json!({}))
            .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&id["data"]["role_id"]),
            text(&secret["data"]["secret_id"]),
        )
    }

    pub(crate) async fn set_policy(&self, text: &str) {
        let body = json!({"policy": text});
        self.post("sys/policies/acl/secretvault", body).await;
    }

    pub(crate) async fn seal(&self) {
        self.post("sys/seal", json!({})).await;
    }

    pub(crate) async fn unseal(&self) {
        let body = json!({"key": self.unseal_key});
        self.post("sys/unseal", body).await;
        self.active().await;
    }

    /// Asks as the administrator; a refusal ends the test.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, Some(body), None).await;
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    }

    /// Asks as the administrator, or with another token.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        token: Option<&str>,
    ) -> (u16, Value) {
        let url = format!("{}/v1/{path}", self.address);
        let token = token.unwrap_or(&self.root);
        let mut request = self.client.request(method, url);
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn initialise(&mut self) {
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let made = self.post("sys/init", body).await;
        self.root = made["root_token"].as_str().unwrap().to_owned();
        self.unseal_key = made["keys_base64"][0].as_str().unwrap().to_owned();
        self.unseal().await;
        self.post("sys/mounts/transit", json!({"type": "transit"}))
            .await;
        self.set_policy(LEAST).await;
    }

    /// Whether it comes up. Somebody else may have taken its port meanwhile.
    async fn answers(&mut self) -> bool {
        for _ in 0..600 {
            let url = format!("{}/v1/sys/seal-status", self.address);
            if self.client.get(url).send().await.is_ok() {
                return true;
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    async fn active(&self) {
        for _ in 0..600 {
            let health = self.ask(Method::GET, "sys/health", None, Some("")).await;
            if health.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("bao does not become active");
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The policy that the documentation tells to use.
pub(crate) const LEAST: &str = include_str!("../../../tests/bao/policy.hcl");

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn config(folder: &TempDir, certificate: &Certificate, port: u16, address: &str) -> PathBuf {
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let pem = write("tls.pem", &certificate.pem());
    let key = write("tls.key", &certificate.key_pem());
    let text = format!(
        "storage \"inmem\" {{}}\n\
         api_addr = \"{address}\"\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  cluster_address = \"127.0.0.1:0\"\n  \
         tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n}}\n",
        pem.display(),
        key.display()
    );
    write("config.hcl", &text)
}

/// It ends with the thread that started it, however that ends.
fn spawn(config: &std::path::Path, folder: &TempDir) -> Child {
    let bao = std::env::var_os("BAO").expect("BAO names no program: run make test-transit");
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(bao)
        .arg("server")
        .arg(format!("-config={}", config.display()))
        .env("GOMAXPROCS", "2")
        .env_remove("VAULT_TOKEN")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
