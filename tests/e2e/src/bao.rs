use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::SYSTEM;
use crate::api;
use crate::kubectl::{Answer, Namespace, kubectl, kubectl_with, run, run_with};
use crate::wait::eventually;

/// A real OpenBao in a pod of its own, with TLS, the kubernetes auth method against this cluster's
/// API server, and an audit log. Gone with its namespace when it drops.
///
/// Its pod is busybox with the host's `bao` mounted into it: an image of its own would be 180 MB to
/// build and to import twice. Its data are in the pod, so that the server can be killed and go on.
pub struct Bao {
    namespace: Namespace,
    authority: String,
    unseal_key: String,
    root_token: String,
}

/// The server of all tests that do not harm it: as long as one of them runs.
static SHARED: Mutex<Weak<Bao>> = Mutex::new(Weak::new());

impl Bao {
    /// The server that tests share. Each has keys, policies and roles of its own there.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start());
        *shared = Arc::downgrade(&started);
        started
    }

    /// A server of the test's own.
    #[must_use]
    pub fn start() -> Self {
        let namespace = Namespace::create("bao");
        let certificates = Certificates::make(namespace.name());
        let manifests = manifests(namespace.name(), &certificates);
        let _ = kubectl_with(&["apply", "-f", "-"], &manifests.to_string()).expect_success();
        let mut bao = Self {
            namespace,
            authority: certificates.authority,
            unseal_key: String::new(),
            root_token: String::new(),
        };
        bao.initialise();
        bao
    }

    /// Where it is, for the operator.
    #[must_use]
    pub fn address(&self) -> String {
        format!("https://bao.{}.svc:8200", self.namespace.name())
    }

    /// What its certificate is signed by, as `caBundle` has it.
    #[must_use]
    pub fn ca_bundle(&self) -> String {
        BASE64_STANDARD.encode(&self.authority)
    }

    /// Runs a shell script beside the server, in which `bao` is the administrator's.
    #[must_use]
    pub fn sh(&self, script: &str) -> Answer {
        // By standard input: arguments can be read by everybody on the machine.
        let script = format!("export BAO_TOKEN='{}'; set -e\n{script}", self.root_token);
        let exec = ["exec", "-i", "bao", "--", "sh", "-s"];
        self.namespace.kubectl_with(&exec, &script)
    }

    /// Makes a key, a policy that allows what the operator needs of it and no more, and a role of
    /// that name for the operator's service account: as `docs/keys.md` says, without the policy
    /// `default`.
    #[must_use]
    pub fn key(self: &Arc<Self>, name: &str) -> TransitKey {
        self.write(&format!("transit/keys/{name}"), &json!({}));
        let policy = json!({"policy": policy(name)});
        self.write(&format!("sys/policies/acl/{name}"), &policy);
        let role = json!({
            "bound_service_account_names": "secretvault-operator",
            "bound_service_account_namespaces": SYSTEM,
            "audience": "vault",
            "token_policies": name,
            "token_no_default_policy": true,
            "token_period": "1h",
        });
        self.write(&format!("auth/kubernetes/role/{name}"), &role);
        TransitKey {
            bao: Arc::clone(self),
            name: name.to_owned(),
        }
    }

    /// How many requests the audit log has for a path and a ciphertext.
    #[must_use]
    pub fn requests(&self, path: &str, ciphertext: &str) -> usize {
        // The log has no text, but what the server makes of it with a key of its own.
        let hashed = self.write("sys/audit-hash/file", &json!({"input": ciphertext}));
        let hash = hashed["data"]["hash"].as_str().unwrap_or_default();
        let log = self.sh("cat /bao/audit.log").expect_success();
        assert!(hash.starts_with("hmac-sha256:"), "{hash}");
        let entries = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let answered = |entry: &Value| {
            let request = &entry["request"];
            entry["type"] == "response"
                && request["path"] == path
                && request["data"]["ciphertext"] == hash
        };
        entries.filter(answered).count()
    }

    /// Seals it.
    pub fn seal(&self) {
        self.write("sys/seal", &json!({}));
    }

    /// Unseals it, and waits until it serves.
    pub fn unseal(&self) {
        let key = json!({"key": self.unseal_key});
        eventually("OpenBao serves", || {
            self.ask(&Method::PUT, "sys/unseal", Some(&key))?;
            self.ask(&Method::GET, "sys/mounts", None)
        });
    }

    /// Kills its process, and keeps it from being started again.
    pub fn stop(&self) {
        let stop = "touch /bao/stopped; kill -9 $(cat /bao/pid)";
        let _ = self.sh(stop).expect_success();
    }

    /// Starts it again with what it had, unsealed.
    pub fn restart(&self) {
        let _ = self.sh("rm -f /bao/stopped").expect_success();
        self.unseal();
    }

    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    fn initialise(&mut self) {
        let wait = ["wait", "--for=condition=Ready", "pod/bao", "--timeout=5m"];
        let _ = self.namespace.kubectl(&wait).expect_success();
        let init = json!({"secret_shares": 1, "secret_threshold": 1});
        let said = eventually("OpenBao is initialised", || {
            self.ask(&Method::PUT, "sys/init", Some(&init))
        });
        let text = |value: &Value| value.as_str().expect("init says this").to_owned();
        self.unseal_key = text(&said["keys_base64"][0]);
        self.root_token = text(&said["root_token"]);
        self.unseal();
        self.write("sys/mounts/transit", &json!({"type": "transit"}));
        self.write("sys/auth/kubernetes", &json!({"type": "kubernetes"}));
        // Without more, it reviews tokens as its own account: that of its pod.
        let server = json!({"kubernetes_host": "https://kubernetes.default.svc"});
        self.write("auth/kubernetes/config", &server);
    }

    #[expect(clippy::panic, reason = "this is how a test fails")]
    fn write(&self, path: &str, data: &Value) -> Value {
        let written = self.ask(&Method::PUT, path, Some(data));
        written.unwrap_or_else(|error| panic!("write {path}: {error}"))
    }

    /// Asks as the administrator.
    fn ask(&self, method: &Method, path: &str, data: Option<&Value>) -> Result<Value, String> {
        let path = format!("/v1/{path}");
        let token = [("x-vault-token", self.root_token.as_str())];
        let place = self.namespace.name();
        api::ask_pod(place, "https:bao:8200", (method, &path), data, &token)
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "clusterrolebinding", self.namespace.name()]);
    }
}

/// A key of a server, with its policy and its role.
pub struct TransitKey {
    /// The server.
    pub bao: Arc<Bao>,
    name: String,
}

impl TransitKey {
    /// The key's name, which is also the policy's and the role's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `spec.vaultTransit` of a provider with this key.
    #[must_use]
    pub fn transit(&self) -> Value {
        json!({
            "address": self.bao.address(),
            "caBundle": self.bao.ca_bundle(),
            "key": self.name,
            "auth": {"kubernetes": {"role": self.name}},
        })
    }

    /// Makes a new version.
    pub fn rotate(&self) {
        self.bao.write(&self.path("rotate"), &json!({}));
    }

    /// Sets a field of the key's configuration, such as `min_decryption_version`.
    pub fn configure(&self, field: &str, value: &Value) {
        self.bao.write(&self.path("config"), &json!({field: value}));
    }

    /// How often the server was asked to `decrypt` or `rewrap` this. The operator's probes have texts
    /// of their own.
    #[must_use]
    pub fn requests(&self, operation: &str, ciphertext: &str) -> usize {
        let path = format!("transit/{operation}/{}", self.name);
        self.bao.requests(&path, ciphertext)
    }

    fn path(&self, below: &str) -> String {
        format!("transit/keys/{}/{below}", self.name)
    }
}

/// All that the operator needs, as `docs/keys.md` has it, for a key of this name.
#[expect(clippy::expect_used, reason = "the repository's own file")]
fn policy(key: &str) -> String {
    let file = crate::root().join("tests/bao/policy.hcl");
    let policy = std::fs::read_to_string(file).expect("a policy");
    policy.replace("secretvault", key)
}

/// The server's certificate, and the authority's that signed it. PEM.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

impl Certificates {
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    fn make(namespace: &str) -> Self {
        let script = format!(
            "set -e; cd $(mktemp -d); trap 'rm -r \"$PWD\"' EXIT
             key() {{ openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }}
             key >ca.key; key >server.key
             openssl req -x509 -new -key ca.key -subj /CN=bao-ca -days 30 \
               -addext keyUsage=critical,keyCertSign >ca.crt
             printf 'subjectAltName=DNS:bao.{namespace}.svc,IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n' >extensions
             openssl req -new -key server.key -subj /CN=bao | openssl x509 -req -CA ca.crt \
               -CAkey ca.key -days 30 -extfile extensions >server.crt
             for file in ca.crt server.crt server.key; do base64 -w0 $file; echo; done"
        );
        let made = run("bash", &["-c", &script]).expect_success();
        let mut files = made.lines().map(|line| {
            let bytes = BASE64_STANDARD.decode(line).expect("base64");
            String::from_utf8(bytes).expect("PEM")
        });
        let mut next = || files.next().expect("three files");
        Self {
            authority: next(),
            certificate: next(),
            key: next(),
        }
    }
}

/// The program, as `tests/cluster/enter` has it on the path.
fn program() -> String {
    let found = run_with("sh", &["-c", "readlink -f \"$(command -v bao)\""], "");
    let path = found.expect_success().trim().to_owned();
    assert!(path.starts_with('/'), "bao is not installed");
    path
}

fn manifests(namespace: &str, certificates: &Certificates) -> Value {
    let named = |name: &str| json!({"name": name, "namespace": namespace});
    let files = json!({
        "config.hcl": CONFIG,
        "ca.crt": certificates.authority,
        "server.crt": certificates.certificate,
        "server.key": certificates.key,
    });
    let reviews = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:auth-delegator",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "bao", "namespace": namespace}],
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": named("bao"),
        "spec": {"selector": {"app": "bao"}, "ports": [{"port": 8200}]},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named("bao")},
        {"apiVersion": "v1", "kind": "Secret", "metadata": named("bao"), "stringData": files},
        reviews,
        service,
        pod(namespace),
    ]})
}

fn pod(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bao", "namespace": namespace, "labels": {"app": "bao"}},
        "spec": {
            "serviceAccountName": "bao",
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "bao",
                "image": "busybox:stable",
                "command": ["sh", "-c", SERVE],
                "env": [
                    {"name": "BAO_ADDR", "value": "https://127.0.0.1:8200"},
                    {"name": "BAO_CACERT", "value": "/etc/bao/ca.crt"},
                ],
                "volumeMounts": [
                    {"name": "program", "mountPath": "/usr/bin/bao", "readOnly": true},
                    {"name": "config", "mountPath": "/etc/bao", "readOnly": true},
                    {"name": "data", "mountPath": "/bao"},
                ],
            }],
            "volumes": [
                {"name": "program", "hostPath": {"path": program(), "type": "File"}},
                {"name": "config", "secret": {"secretName": "bao"}},
                {"name": "data", "emptyDir": {}},
            ],
        },
    })
}

/// Serves, and again after it was killed, as long as nobody stopped it.
const SERVE: &str = "while :; do
    [ -e /bao/stopped ] || { bao server -config=/etc/bao/config.hcl & echo $! >/bao/pid; wait $!; }
    sleep 0.1
done";

/// The smallest multiplier: a server alone waits for nobody's vote.
const CONFIG: &str = r#"
api_addr = "https://127.0.0.1:8200"
cluster_addr = "https://127.0.0.1:8201"
storage "raft" {
  path = "/bao"
  node_id = "bao"
  performance_multiplier = 1
}
listener "tcp" {
  address = "0.0.0.0:8200"
  tls_cert_file = "/etc/bao/server.crt"
  tls_key_file = "/etc/bao/server.key"
}
audit "file" "file" {
  options = { file_path = "/bao/audit.log" }
}
"#;
