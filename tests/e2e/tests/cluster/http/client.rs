//! curl with a token, as a program without any library of ours would ask.

use secretvault_e2e::{Namespace, STATE, eventually, kubectl, run_with};
use serde_json::Value;

/// What the API server answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

impl Reply {
    /// The body of an answer that must have this code.
    #[track_caller]
    pub(super) fn with(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// A service account's token, and the path of its namespace's vaults.
pub(super) struct Client {
    server: String,
    token: String,
    vaults: String,
}

impl Client {
    /// Makes the account, binds one of the cluster's roles to it, and waits until the API server knows.
    pub(super) fn with_role(namespace: &Namespace, account: &str, role: &str) -> Self {
        let name = namespace.name();
        let _ = namespace
            .kubectl(&["create", "serviceaccount", account])
            .expect_success();
        let role = format!("--clusterrole={role}");
        let subject = format!("--serviceaccount={name}:{account}");
        let bind = ["create", "rolebinding", account, &role, &subject];
        let _ = namespace.kubectl(&bind).expect_success();
        let token = namespace.kubectl(&["create", "token", account]);
        let path = "jsonpath={.clusters[0].cluster.server}";
        let client = Self {
            server: kubectl(&["config", "view", "-o", path]).expect_success(),
            token: token.expect_success().trim().to_owned(),
            vaults: format!("/apis/secretvault.dev/v1alpha1/namespaces/{name}/secretvaults"),
        };
        eventually("the role is bound", || {
            let reply = client.get("");
            if reply.code == 200 {
                Ok(())
            } else {
                Err(reply)
            }
        });
        client
    }

    /// The same without a token, or with another one.
    pub(super) fn bearing(&self, token: &str) -> Self {
        Self {
            server: self.server.clone(),
            token: token.to_owned(),
            vaults: self.vaults.clone(),
        }
    }

    /// `path` goes on after the vaults' own: empty, or `/NAME`.
    pub(super) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], None)
    }

    /// What of it is metadata, as `kind` of Kubernetes' own.
    pub(super) fn metadata(&self, path: &str, kind: &str) -> Reply {
        let accept = format!("Accept: application/json;as={kind};g=meta.k8s.io;v=v1");
        self.ask("GET", path, &[&accept], None)
    }

    pub(super) fn post(&self, body: &Value) -> Reply {
        self.ask("POST", "", &["Content-Type: application/json"], Some(body))
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path, &["Content-Type: application/json"], Some(body))
    }

    pub(super) fn merge(&self, path: &str, body: &Value) -> Reply {
        let kind = "Content-Type: application/merge-patch+json";
        self.ask("PATCH", path, &[kind], Some(body))
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Reply {
        let kind = "Content-Type: application/json-patch+json";
        self.ask("PATCH", path, &[kind], Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &[], None)
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Reply {
        let url = format!("{}{}{path}", self.server, self.vaults);
        let authority = format!("{STATE}/pki/ca.crt");
        let token = format!("Authorization: Bearer {}", self.token);
        let mut arguments = vec!["--silent", "--show-error", "--max-time", "60"];
        arguments.extend(["--cacert", &authority, "--request", method]);
        for header in [&[token.as_str()], headers].concat() {
            arguments.extend(["--header", header]);
        }
        if body.is_some() {
            arguments.extend(["--data-binary", "@-"]);
        }
        arguments.extend(["--write-out", "\n%{http_code}", &url]);
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = run_with("curl", &arguments, &body).expect_success();
        let (text, code) = answer.rsplit_once('\n').unwrap();
        Reply {
            code: code.parse().unwrap(),
            text: text.to_owned(),
        }
    }
}
