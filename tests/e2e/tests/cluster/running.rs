//! A pod that runs before something happens to the system around it.

use secretvault_e2e::{Mount, Namespace, NodeVolume, Pod, Vault};

/// A pod `app` with a file `token` of the vault `app`.
pub(crate) struct Running {
    /// Where both are.
    pub(crate) namespace: Namespace,
    /// The pod.
    pub(crate) pod: Pod,
    /// Its volume, on its node.
    pub(crate) volume: NodeVolume,
    before: (Vec<Mount>, String),
}

impl Running {
    /// Applies the vault and runs the pod.
    pub(crate) fn start(prefix: &str) -> Self {
        let namespace = Namespace::create(prefix);
        vault("t-1").store(&namespace);
        let pod = Pod::mounting("app", "app").that_ends_in_order();
        pod.run(&namespace);
        let volume = NodeVolume::of(&namespace, "app");
        let before = (volume.mounts(), container(&namespace));
        assert_eq!(before.0.len(), 1, "not one mount: {before:?}");
        Self {
            namespace,
            pod,
            volume,
            before,
        }
    }

    /// Another pod with the same vault on the same node, not yet created.
    pub(crate) fn another(&self, name: &str) -> Pod {
        Pod::mounting(name, "app")
            .on(self.volume.node.name())
            .that_ends_in_order()
    }

    /// The very mount, in the very container, with the file in it.
    pub(crate) fn assert_unharmed(&self) {
        let now = (self.volume.mounts(), container(&self.namespace));
        assert_eq!(now, self.before);
        assert_eq!(self.pod.read(&self.namespace, "token"), "t-1");
    }

    /// Changes the vault, and waits until the pod sees it in the same mount.
    pub(crate) fn assert_the_next_change_arrives(&self) {
        vault("t-2").store(&self.namespace);
        self.pod.wait_content(&self.namespace, "token", "t-2");
        assert_eq!(self.volume.mounts(), self.before.0);
    }
}

/// The vault `app` with this token.
pub(crate) fn vault(token: &str) -> Vault {
    Vault::named("app").text("token", token)
}

fn container(namespace: &Namespace) -> String {
    namespace.field("pod/app", "{.status.containerStatuses[0].containerID}")
}
