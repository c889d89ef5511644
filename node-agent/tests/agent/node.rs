//! A node with a kubelet that is the test itself: the agent's binary runs beside it, in a mount
//! namespace of their own.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use rustix::{
    mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount},
    process::{Pid, Signal, kill_process},
};
use secretvault_node_agent::csi::v1::{
    NodeGetVolumeStatsRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest,
    VolumeCapability, VolumeCondition,
    identity_client::IdentityClient,
    node_client::NodeClient,
    volume_capability::{AccessType, MountVolume},
};
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::operator::Operator;

pub(crate) struct Node {
    pub(crate) operator: Operator,
    directory: tempfile::TempDir,
    state: tempfile::TempDir,
    runtime: Runtime,
    agent: Option<Child>,
    metrics: String,
}

/// Runs a test on a node of its own, with an agent that is up.
pub(crate) fn on_a_node(test: impl FnOnce(&mut Node) + Send + 'static) {
    on_a_node_with(&[], test);
}

/// Likewise, with more arguments for the agent.
pub(crate) fn on_a_node_with(
    arguments: &'static [&'static str],
    test: impl FnOnce(&mut Node) + Send + 'static,
) {
    let alone = thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root");
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", all).unwrap();
        let mut node = Node::new();
        node.start(arguments);
        test(&mut node);
        node.kill();
        let _ = unmount(node.directory.path(), UnmountFlags::DETACH);
    });
    alone.join().unwrap();
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount_bind(directory.path(), directory.path()).unwrap();
        mount_change(directory.path(), MountPropagationFlags::SHARED).unwrap();
        let operator = Operator::start();
        fs::write(directory.path().join("ca.crt"), &operator.ca).unwrap();
        fs::write(directory.path().join("token"), "agent-token\n").unwrap();
        // An address of its own: a free port could be taken until the agent asks for it.
        let [_, a, b, c] = getrandom::u32().unwrap().to_be_bytes();
        let node = Self {
            operator,
            directory,
            state: tempfile::tempdir_in("/dev/shm").unwrap(),
            runtime: Runtime::new().unwrap(),
            agent: None,
            metrics: format!("127.{a}.{b}.{}:18080", c.clamp(1, 254)),
        };
        fs::create_dir_all(node.mount().parent().unwrap()).unwrap();
        node
    }

    /// Starts the agent, and waits until it serves.
    pub(crate) fn start(&mut self, arguments: &[&str]) {
        let path = |name: &str| self.path(name).display().to_string();
        let agent = Command::new(env!("CARGO_BIN_EXE_secretvault-node-agent"))
            .args(["--node-name", "node-1", "--kubelet-dir", &path("")])
            .args(["--operator-address", &self.operator.address.to_string()])
            .args([
                "--operator-ca-file",
                &path("ca.crt"),
                "--token-file",
                &path("token"),
            ])
            .args(["--state-dir", self.state.path().to_str().unwrap()])
            .args(["--metrics-address", &self.metrics])
            .args(arguments)
            .stderr(Stdio::from(
                fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path("log"))
                    .unwrap(),
            ))
            .spawn();
        self.agent = Some(agent.unwrap());
        eventually("the agent serves", || self.get("/livez").is_some());
    }

    /// Ends the agent as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    }

    /// Ends the agent as Kubernetes does, and says how that went.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let mut agent = self.agent.take().unwrap();
        let id = Pid::from_raw(agent.id().cast_signed()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        agent.wait().unwrap()
    }

    pub(crate) fn agent_id(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.directory.path().to_owned()
        } else {
            self.directory.path().join(name)
        }
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.mount_of(1)
    }

    /// The volume of another pod.
    pub(crate) fn mount_of(&self, pod: usize) -> PathBuf {
        self.path(&format!(
            "pods/uid-{pod}/volumes/kubernetes.io~csi/secrets/mount"
        ))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Files with tokens.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let records = fs::read_dir(self.state.path().join("volumes")).unwrap();
        records.map(|entry| entry.unwrap().path()).collect()
    }

    /// The request that kubelet sends for the pod's volume.
    pub(crate) fn request(&self, token: &str) -> NodePublishVolumeRequest {
        let mut request = NodePublishVolumeRequest::default();
        "csi-1".clone_into(&mut request.volume_id);
        request.target_path = self.mount().display().to_string();
        request.readonly = true;
        request.volume_capability = Some(VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: None,
        });
        let tokens = format!(r#"{{"csi.secretvault.dev":{{"token":"{token}"}}}}"#);
        request.secrets.insert(
            "csi.storage.k8s.io/serviceAccount.tokens".to_owned(),
            tokens,
        );
        for (key, value) in [
            ("csi.storage.k8s.io/ephemeral", "true"),
            ("csi.storage.k8s.io/pod.namespace", "shop"),
            ("csi.storage.k8s.io/pod.name", "web-0"),
            ("csi.storage.k8s.io/pod.uid", "uid-1"),
            ("csi.storage.k8s.io/serviceAccount.name", "web"),
            ("vaults", "app"),
        ] {
            request
                .volume_context
                .insert(key.to_owned(), value.to_owned());
        }
        request
    }

    /// Likewise for another pod, `web-N` with the token `token-N`, which mounts the vault `vault-N`.
    pub(crate) fn request_of(&self, pod: usize) -> NodePublishVolumeRequest {
        let mut request = self.request(&format!("token-{pod}"));
        let mount = self.mount_of(pod);
        fs::create_dir_all(mount.parent().unwrap()).unwrap();
        request.target_path = mount.display().to_string();
        for (key, value) in [
            ("csi.storage.k8s.io/pod.name", format!("web-{pod}")),
            ("csi.storage.k8s.io/pod.uid", format!("uid-{pod}")),
            ("vaults", format!("vault-{pod}")),
        ] {
            request.volume_context.insert(key.to_owned(), value);
        }
        request
    }

    pub(crate) fn publish(&self) -> Result<(), Status> {
        self.publish_as(self.request("pod-token"))
    }

    pub(crate) fn publish_as(&self, request: NodePublishVolumeRequest) -> Result<(), Status> {
        self.runtime.block_on(async {
            let mut client = NodeClient::new(self.channel());
            client.node_publish_volume(request).await.map(drop)
        })
    }

    /// Publishes the volume, and once more so soon that the agent must spare itself the question.
    /// Answers how often it asked.
    pub(crate) fn publish_twice_at_once(&self, again: &NodePublishVolumeRequest) -> usize {
        for _ in 0..10 {
            let (before, begun) = (self.operator.requests().len(), Instant::now());
            self.publish().unwrap();
            self.publish_as(again.clone()).unwrap();
            if begun.elapsed() < RECENT {
                return self.operator.requests().len() - before;
            }
            // We were too slow: it may have asked twice, and rightly.
            self.unpublish().unwrap();
        }
        panic!("two publishes always take longer than {RECENT:?}");
    }

    pub(crate) fn unpublish(&self) -> Result<(), Status> {
        self.unpublish_at("csi-1", self.mount().to_str().unwrap())
    }

    pub(crate) fn unpublish_at(&self, id: &str, path: &str) -> Result<(), Status> {
        let request = NodeUnpublishVolumeRequest {
            volume_id: id.to_owned(),
            target_path: path.to_owned(),
        };
        self.runtime.block_on(async {
            NodeClient::new(self.channel())
                .node_unpublish_volume(request)
                .await
                .map(drop)
        })
    }

    pub(crate) fn condition(&self) -> Result<VolumeCondition, Status> {
        let request = NodeGetVolumeStatsRequest {
            volume_id: "csi-1".to_owned(),
            volume_path: self.mount().display().to_string(),
            ..NodeGetVolumeStatsRequest::default()
        };
        self.runtime.block_on(async {
            let stats = NodeClient::new(self.channel())
                .node_get_volume_stats(request)
                .await?;
            Ok(stats.into_inner().volume_condition.unwrap())
        })
    }

    pub(crate) fn node(&self) -> NodeClient<Channel> {
        self.runtime
            .block_on(async { NodeClient::new(self.channel()) })
    }

    pub(crate) fn identity(&self) -> IdentityClient<Channel> {
        self.runtime
            .block_on(async { IdentityClient::new(self.channel()) })
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn channel(&self) -> Channel {
        connect(self.path("plugins/csi.secretvault.dev/csi.sock"))
    }

    /// The mounts at the target.
    pub(crate) fn mounts(&self) -> usize {
        let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let wanted = format!(" {} ", self.mount().display());
        text.lines().filter(|line| line.contains(&wanted)).count()
    }

    /// What a reader sees at the top.
    pub(crate) fn read(&self) -> BTreeMap<String, String> {
        self.read_of(1)
    }

    /// Likewise in the volume of another pod.
    pub(crate) fn read_of(&self, pod: usize) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.mount_of(pod))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.is_file())
            .filter_map(|path| Some((name(&path), read(&path)?)))
            .collect()
    }

    /// A page of the agent's HTTP server, or nothing.
    pub(crate) fn get(&self, page: &str) -> Option<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.metrics).ok()?;
        write!(
            stream,
            "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// As kubelet connects to a registration socket: the path, percent-encoded, as authority.
pub(crate) fn connect_as_kubelet(socket: &Path) -> Channel {
    let authority = socket.to_str().unwrap().replace('/', "%2F");
    let origin = Endpoint::from_shared(format!("http://{authority}")).unwrap();
    connect_through(&origin, socket.to_owned())
}

/// As kubelet connects to a CSI socket: with `localhost` as authority.
pub(crate) fn connect(socket: PathBuf) -> Channel {
    connect_through(&Endpoint::from_static("http://localhost"), socket)
}

fn connect_through(endpoint: &Endpoint, socket: PathBuf) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    }))
}

/// Waits for what must come, and soon.
pub(crate) fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    eventually_within(Duration::from_secs(15), what, is_so);
}

/// Likewise for what takes the agent its time.
pub(crate) fn eventually_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < patience, "never: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// What kubelet's pause between two publishes is to the agent: longer than it spares itself one.
pub(crate) fn later() {
    thread::sleep(Duration::from_millis(2100));
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Nothing, if the agent takes the file's generation away at this moment.
fn read(path: &Path) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// For how long after a question the agent spares itself another one.
const RECENT: Duration = Duration::from_secs(2);
