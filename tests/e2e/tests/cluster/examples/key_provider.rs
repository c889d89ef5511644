//! The keyring in a file.

use secretvault_e2e::{Node, kubectl, root, run};

use super::Example;

/// A node of the control plane, with a keyring in a file. It is neither when this drops.
pub(crate) struct Prepared {
    _keyring: KeyringFile,
    _plane: ControlPlane,
    values: String,
    directory: String,
}

impl Prepared {
    pub(crate) fn new() -> Self {
        let node = Node::named("node-a");
        let values = root().join("examples/key-provider-file/helm/values.yaml");
        Self {
            _keyring: KeyringFile::make(&node),
            _plane: ControlPlane::on(&node),
            values: values.to_str().unwrap().to_owned(),
            directory: format!("keyring.file.volume.hostPath.path={DIRECTORY}"),
        }
    }

    /// Helm's arguments, as the README has them. Its directory is the host's own, which is not ours to
    /// write to; a node's /run is.
    pub(crate) fn arguments(&self) -> [&str; 4] {
        ["--values", &self.values, "--set", &self.directory]
    }
}

pub(crate) fn key_provider_file() {
    let example = Example::apply("key-provider-file");
    example.wait_listing("app", &[("run/secrets/db/password", "0:0 r--r--r--")]);
    let ready = ["--for=condition=Ready", "keyprovider/file", "--timeout=5m"];
    let _ = kubectl(&[&["wait"], ready.as_slice()].concat()).expect_success();
    let sealed_by = example.kubectl(&[
        "get",
        "sv",
        "app",
        "-o",
        "jsonpath={.spec.dataKey.provider}",
    ]);
    assert_eq!(sealed_by.expect_success(), "file");
}

const DIRECTORY: &str = "/run/secretvault-example";

/// A keyring as the README makes it. Removed when it drops.
struct KeyringFile(Node);

impl KeyringFile {
    fn make(node: &Node) -> Self {
        let file = Self(node.clone());
        let operator = root().join("target/images/operator/secretvault-operator");
        let keyring = run(operator.to_str().unwrap(), &["keyring", "generate"]);
        let install = format!(
            "install -D -o 65532 -g 65532 -m 0400 /dev/stdin {DIRECTORY}/keyring <<'KEYRING'\n\
             {}KEYRING",
            keyring.expect_success()
        );
        let _ = node.sh(&install).expect_success();
        file
    }
}

impl Drop for KeyringFile {
    fn drop(&mut self) {
        let _ = self.0.sh(&format!("rm -r {DIRECTORY}"));
    }
}

/// A node that says that it is of the control plane. Says so no more when it drops.
struct ControlPlane(String);

impl ControlPlane {
    fn on(node: &Node) -> Self {
        let plane = Self(format!("node/{}", node.name()));
        let label = "node-role.kubernetes.io/control-plane=";
        let _ = kubectl(&["label", &plane.0, label]).expect_success();
        plane
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = kubectl(&["label", &self.0, "node-role.kubernetes.io/control-plane-"]);
    }
}
