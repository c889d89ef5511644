use secretvault_e2e::{Answer, KeyProvider, Namespace, SYSTEM, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};

/// Something that nobody can write, so that the operator stops right before it. Can be written again
/// when it drops.
pub(crate) struct Held(String);

impl Held {
    /// These vaults keep what they have.
    pub(crate) fn vaults(namespace: &Namespace, names: &[String]) -> Self {
        let place = format!("request.namespace == '{}'", namespace.name());
        let label = |dry_run: &str| {
            let label = ["label", dry_run, "sv", &names[0], "probe=probe"];
            namespace.kubectl(&label)
        };
        let held = Self(format!("held-vaults-{}-{}", namespace.name(), names[0]));
        let which = format!("{place} && request.name in {}", json!(names));
        held.put("secretvault.dev", "secretvaults", &which, || {
            label("--dry-run=server")
        });
        held
    }

    /// The provider's status stays as it is.
    pub(crate) fn status(provider: &KeyProvider) -> Self {
        let held = Self(format!("held-status-{}", provider.name()));
        let which = format!("request.name == '{}'", provider.name());
        held.put("secretvault.dev", "keyproviders/status", &which, || {
            let patch = json!({"status": {"vaults": 7}}).to_string();
            let patch = [
                "--subresource=status",
                "--dry-run=server",
                "--type=merge",
                "-p",
                &patch,
            ];
            kubectl(&[&["patch", "keyprovider", provider.name()], &patch[..]].concat())
        });
        held
    }

    /// The provider's keyring stays as it is.
    pub(crate) fn keyring(provider: &KeyProvider) -> Self {
        let held = Self(format!("held-keyring-{}", provider.name()));
        let place = format!("request.namespace == '{SYSTEM}'");
        let which = format!("{place} && request.name == '{}'", provider.name());
        held.put("", "secrets", &which, || {
            let label = [
                "label",
                "--dry-run=server",
                "secret",
                provider.name(),
                "probe=probe",
            ];
            kubectl(&[&["-n", SYSTEM], &label[..]].concat())
        });
        held
    }

    /// Makes the policy, and waits until the API server has taken it to heart.
    fn put(&self, group: &str, resource: &str, which: &str, probe: impl Fn() -> Answer) {
        let manifests = self.manifests(group, resource, which).to_string();
        let _ = kubectl_with(&["apply", "-f", "-"], &manifests).expect_success();
        let mut refused = 0;
        eventually(&format!("{} holds", self.0), || {
            let answer = probe();
            refused = if answer.stderr.contains(MESSAGE) {
                refused + 1
            } else {
                0
            };
            if refused >= 2 { Ok(()) } else { Err(answer) }
        });
    }

    fn manifests(&self, group: &str, resource: &str, which: &str) -> Value {
        let metadata = json!({"name": self.0});
        let rule = json!({
            "apiGroups": [group],
            "apiVersions": ["*"],
            "resources": [resource],
            "operations": ["UPDATE"],
        });
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata,
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [{"name": "which", "expression": which}],
                "validations": [{"expression": "false", "message": MESSAGE}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": self.0, "validationActions": ["Deny"]},
        });
        json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]})
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for kind in [
            "validatingadmissionpolicybinding",
            "validatingadmissionpolicy",
        ] {
            let _ = kubectl(&["delete", kind, &self.0]);
        }
    }
}

const MESSAGE: &str = "held by a test";
