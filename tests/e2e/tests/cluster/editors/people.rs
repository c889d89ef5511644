//! People and service accounts that may update vaults, by one of the cluster's roles.

use secretvault_e2e::{Answer, Namespace, STATE, api, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};

pub(super) const ADMIN: Name = Name::User("adam", &[]);
pub(super) const DBA: Name = Name::User("dora", &["dba"]);
pub(super) const JANE: Name = Name::User("jane", &[]);
/// Somebody whom no rule names.
pub(super) const STRANGER: Name = Name::User("mallory", &["staff"]);

/// The account `deployer` of the vault's own namespace.
pub(super) const DEPLOYER: Name = Name::Account("deployer");

/// A namespace that some rules name. Only names of it are needed.
pub(super) const ELSEWHERE: &str = "editors-elsewhere";

/// Its account `pipeline`.
pub(super) const PIPELINE: Name = Name::User(
    "system:serviceaccount:editors-elsewhere:pipeline",
    &["system:serviceaccounts"],
);

/// Who it is.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// A service account of the namespace, with a token of its own.
    Account(&'static str),
    /// A user with groups, impersonated.
    User(&'static str, &'static [&'static str]),
}

/// Somebody with a role in a namespace.
pub(super) struct Who {
    /// How kubectl becomes them.
    credentials: Vec<String>,
    user: String,
    groups: &'static [&'static str],
    namespace: String,
}

impl Who {
    /// Binds the role, and waits until the API server knows.
    pub(super) fn bound(namespace: &Namespace, name: Name, role: &str) -> Self {
        let subject = match name {
            Name::Account(account) => {
                let create = namespace.kubectl(&["create", "serviceaccount", account]);
                let _ = create.expect_success();
                format!("--serviceaccount={}:{account}", namespace.name())
            }
            Name::User(user, _) => format!("--user={user}"),
        };
        let binding = subject.replace([':', '=', '-'], "");
        let role = format!("--clusterrole={role}");
        let bind = ["create", "rolebinding", &binding, &role, &subject];
        let _ = namespace.kubectl(&bind).expect_success();
        let (user, groups) = match name {
            Name::Account(account) => {
                let place = namespace.name();
                (
                    format!("system:serviceaccount:{place}:{account}"),
                    [].as_slice(),
                )
            }
            Name::User(user, groups) => (user.to_owned(), groups),
        };
        let who = Self {
            credentials: credentials(namespace, name),
            user,
            groups,
            namespace: namespace.name().to_owned(),
        };
        eventually("the role is bound", || {
            let can_i = ["auth", "can-i", "patch", "secretvaults"];
            who.kubectl(&can_i).into_result()
        });
        who
    }

    pub(super) fn kubectl(&self, arguments: &[&str]) -> Answer {
        self.kubectl_with(arguments, "")
    }

    pub(super) fn kubectl_with(&self, arguments: &[&str], input: &str) -> Answer {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(self.credentials.iter().map(String::as_str));
        all.extend(arguments);
        kubectl_with(&all, input)
    }

    /// A merge patch of the vault's spec.
    pub(super) fn patch(&self, spec: &Value) -> Answer {
        let patch = json!({"spec": spec}).to_string();
        self.kubectl(&["patch", "sv/app", "--type=merge", "-p", &patch])
    }

    /// What would come of a merge patch of the vault. Asked without kubectl: it is asked often.
    pub(super) fn try_patch(&self, patch: &Value) -> Answer {
        let user = [("impersonate-user", self.user.as_str())];
        let groups = self
            .groups
            .iter()
            .map(|group| ("impersonate-group", *group));
        let headers: Vec<_> = user.into_iter().chain(groups).collect();
        api::try_merge(&self.namespace, "sv/app", patch, &headers).into()
    }
}

/// A token and nothing else for an account, as a pipeline would have it.
fn credentials(namespace: &Namespace, name: Name) -> Vec<String> {
    match name {
        Name::Account(account) => {
            let token = namespace.kubectl(&["create", "token", account]);
            let path = "jsonpath={.clusters[0].cluster.server}";
            let server = kubectl(&["config", "view", "-o", path]).expect_success();
            vec![
                "--kubeconfig=/dev/null".to_owned(),
                format!("--server={server}"),
                format!("--certificate-authority={STATE}/pki/ca.crt"),
                format!("--token={}", token.expect_success().trim()),
            ]
        }
        Name::User(user, groups) => {
            let groups = groups.iter().map(|group| format!("--as-group={group}"));
            let user = format!("--as={user}");
            std::iter::once(user).chain(groups).collect()
        }
    }
}
