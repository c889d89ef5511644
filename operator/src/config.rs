//! What one may set: flags, over `SECRETVAULT_*` variables, over a YAML file, over defaults.
//!
//! The file has the flags' names in camel case (`--webhook-port` is `webhookPort`). A name that is
//! not known is refused, so that a misspelt setting cannot silently mean its default.

use std::{
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::audit::OnFailure;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "secretvault-operator",
    version,
    about = "Seals SecretVaults, and releases their keys to the pods that may have them",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do; without a command: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: Overlay,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes, takes in or gives out a keyring of the local key provider
    #[command(subcommand)]
    Keyring(KeyringCommand),
    /// Runs the operator (what it also does without a command)
    Run(Box<Overlay>),
}

/// What to do with a keyring. A key is never taken from an argument: arguments are readable by
/// every process of the machine.
#[derive(Debug, Subcommand)]
pub enum KeyringCommand {
    /// Prints the primary key of a keyring, in base64
    Export {
        /// The keyring document (default: standard input)
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Makes a keyring with one new random key
    Generate {
        /// Where to write it, mode 0600; never over an existing file (default: standard output)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Makes a keyring of a key that one brings: base64 of 32 bytes
    Import {
        /// Where the key is (default: standard input)
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Where to write it, mode 0600; never over an existing file (default: standard output)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Takes a key out of a keyring file: whatever is still wrapped with it is lost
    Retire {
        /// The keyring file, which is replaced at once
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The id of the key: 16 hexadecimal digits; never the primary one's
        #[arg(value_name = "KEY_ID")]
        key_id: String,
    },
    /// Makes a new key in a keyring file and has it wrap from now on; the others go on unwrapping
    Rotate {
        /// The keyring file, which is replaced at once
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// One layer of settings: what the flags and variables say, or what the file says.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overlay {
    /// YAML file with these settings, named in camel case
    #[arg(long, env = "SECRETVAULT_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Namespace of the operator [default: that of its pod]
    #[arg(long, env = "SECRETVAULT_NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of this pod, its identity in the lease [default: the host name]
    #[arg(long, env = "SECRETVAULT_POD_NAME")]
    pub pod_name: Option<String>,
    /// Service that clients reach the operator by [default: secretvault-operator]
    #[arg(long, env = "SECRETVAULT_SERVICE_NAME")]
    pub service_name: Option<String>,
    /// Service account of the operator itself: whose changes of a wrapped data key admission takes
    /// over [default: secretvault-operator]
    #[arg(long, env = "SECRETVAULT_SERVICE_ACCOUNT")]
    pub service_account: Option<String>,
    /// Service account of the node agents [default: secretvault-node-agent]
    #[arg(long, env = "SECRETVAULT_AGENT_SERVICE_ACCOUNT")]
    pub agent_service_account: Option<String>,
    /// Image that brings the launcher into pods; without it no pod can have one
    #[arg(long, env = "SECRETVAULT_LAUNCHER_IMAGE", value_name = "IMAGE")]
    pub launcher_image: Option<String>,
    /// When nodes pull that image [default: IfNotPresent]
    #[arg(long, env = "SECRETVAULT_LAUNCHER_PULL_POLICY", value_name = "POLICY")]
    pub launcher_pull_policy: Option<PullPolicy>,
    /// Port of the webhooks [default: 8443]
    #[arg(long, env = "SECRETVAULT_WEBHOOK_PORT")]
    pub webhook_port: Option<u16>,
    /// CA certificates (PEM) of the API servers' client certificates: with them, the webhooks answer
    /// nobody else; read once [default: they answer everybody]
    #[arg(long, env = "SECRETVAULT_WEBHOOK_CLIENT_CA", value_name = "FILE")]
    pub webhook_client_ca: Option<PathBuf>,
    /// Port of the delivery service [default: 8444]
    #[arg(long, env = "SECRETVAULT_RELEASE_PORT")]
    pub release_port: Option<u16>,
    /// Port of /livez, /readyz and /metrics, without TLS [default: 8080]
    #[arg(long, env = "SECRETVAULT_HEALTH_PORT")]
    pub health_port: Option<u16>,
    /// Whether to make the KeyProvider "default" when there is no KeyProvider [default: true]
    #[arg(long, env = "SECRETVAULT_BOOTSTRAP_KEY_PROVIDER", value_name = "BOOL")]
    pub bootstrap_key_provider: Option<bool>,
    /// Seconds to go on serving after SIGTERM, until clients know that this pod goes [default: 5]
    #[arg(
        long,
        env = "SECRETVAULT_SHUTDOWN_GRACE_SECONDS",
        value_name = "SECONDS"
    )]
    pub shutdown_grace_seconds: Option<u64>,
    /// File of the audit log [default: standard output]
    #[arg(long, env = "SECRETVAULT_AUDIT_FILE", value_name = "FILE")]
    pub audit_file: Option<PathBuf>,
    /// MiB that the file may have before another one is begun [default: 64]
    #[arg(long, env = "SECRETVAULT_AUDIT_FILE_MIB", value_name = "MIB")]
    pub audit_file_mib: Option<NonZeroU32>,
    /// Files that are kept, with the one that is written [default: 8]
    #[arg(long, env = "SECRETVAULT_AUDIT_FILES", value_name = "COUNT")]
    pub audit_files: Option<NonZeroU32>,
    /// What becomes of a verdict that cannot be recorded [default: refuse]
    #[arg(long, env = "SECRETVAULT_AUDIT_FAILURE", value_name = "WHAT")]
    pub audit_failure: Option<OnFailure>,
    /// What to log, as in "info,secretvault_operator=debug" [default: info, libraries warn]
    #[arg(long, env = "SECRETVAULT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Overlay {
    /// Reads the layer below the flags, if they name one.
    ///
    /// # Errors
    /// Fails when the file is not readable, or says what is not known.
    fn file(&self) -> Result<Self, ConfigError> {
        let Some(path) = &self.config else {
            return Ok(Self::default());
        };
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.clone(),
            source,
        })?;
        Self::parse(&text).map_err(|source| ConfigError::Malformed {
            path: path.clone(),
            source,
        })
    }

    /// Parses a file; an empty one says nothing.
    fn parse(text: &str) -> Result<Self, Box<serde_saphyr::Error>> {
        let layer: Option<Self> = serde_saphyr::from_str(text).map_err(Box::new)?;
        Ok(layer.unwrap_or_default())
    }

    /// This layer, and where it is silent the one below.
    fn over(self, below: Self) -> Self {
        Self {
            config: self.config.or(below.config),
            namespace: self.namespace.or(below.namespace),
            pod_name: self.pod_name.or(below.pod_name),
            service_name: self.service_name.or(below.service_name),
            service_account: self.service_account.or(below.service_account),
            agent_service_account: self.agent_service_account.or(below.agent_service_account),
            launcher_image: self.launcher_image.or(below.launcher_image),
            launcher_pull_policy: self.launcher_pull_policy.or(below.launcher_pull_policy),
            webhook_port: self.webhook_port.or(below.webhook_port),
            webhook_client_ca: self.webhook_client_ca.or(below.webhook_client_ca),
            release_port: self.release_port.or(below.release_port),
            health_port: self.health_port.or(below.health_port),
            bootstrap_key_provider: self.bootstrap_key_provider.or(below.bootstrap_key_provider),
            shutdown_grace_seconds: self.shutdown_grace_seconds.or(below.shutdown_grace_seconds),
            audit_file: self.audit_file.or(below.audit_file),
            audit_file_mib: self.audit_file_mib.or(below.audit_file_mib),
            audit_files: self.audit_files.or(below.audit_files),
            audit_failure: self.audit_failure.or(below.audit_failure),
            log: self.log.or(below.log),
        }
    }
}

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum PullPolicy {
    /// For each pod.
    Always,
    /// Unless the node has it.
    #[default]
    IfNotPresent,
    /// Never: it was brought to the node by other means.
    Never,
}

/// Every setting, decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Namespace of the operator, its Secrets, ConfigMap and lease.
    pub namespace: String,
    /// Name of this pod: its identity in the lease and in Events.
    pub pod_name: String,
    /// Service that the API server and the agents reach the operator by.
    pub service_name: String,
    /// Service account of the operator itself, in its namespace.
    pub service_account: String,
    /// Service account of the node agents, in the operator's namespace.
    pub agent_service_account: String,
    /// Image that brings the launcher into pods.
    pub launcher_image: Option<String>,
    /// When nodes pull it.
    pub launcher_pull_policy: PullPolicy,
    /// Port of the webhooks.
    pub webhook_port: u16,
    /// Authorities of those whom the webhooks answer; none: they answer everybody.
    pub webhook_client_ca: Option<PathBuf>,
    /// Port of the delivery service.
    pub release_port: u16,
    /// Port of health and metrics.
    pub health_port: u16,
    /// Whether the KeyProvider `default` is made where none is.
    pub bootstrap_key_provider: bool,
    /// How long to serve on after SIGTERM.
    pub shutdown_grace: Duration,
    /// File of the audit log; none: standard output.
    pub audit_file: Option<PathBuf>,
    /// How many MiB it may have before another one is begun.
    pub audit_file_mib: u32,
    /// How many files are kept.
    pub audit_files: u32,
    /// What becomes of a verdict that cannot be recorded.
    pub audit_failure: OnFailure,
    /// The log filter.
    pub log: String,
}

impl Settings {
    /// Settles every setting from the command line, its file, and what this pod knows of itself.
    ///
    /// # Errors
    /// Fails when the file is unreadable or malformed, or when the namespace is nowhere to be had.
    pub fn load(flags: Overlay) -> Result<Self, ConfigError> {
        let file = flags.file()?;
        Self::settle(flags.over(file), &Surroundings::observe())
    }

    /// Fills what no layer says.
    fn settle(layer: Overlay, pod: &Surroundings) -> Result<Self, ConfigError> {
        let namespace = layer.namespace.or_else(|| pod.namespace.clone());
        let pod_name = layer.pod_name.or_else(|| pod.host_name.clone());
        let text = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.into());
        Ok(Self {
            namespace: namespace.ok_or(ConfigError::NoNamespace)?,
            pod_name: pod_name.ok_or(ConfigError::NoPodName)?,
            service_name: text(layer.service_name, "secretvault-operator"),
            service_account: text(layer.service_account, "secretvault-operator"),
            agent_service_account: text(layer.agent_service_account, "secretvault-node-agent"),
            launcher_image: layer.launcher_image.filter(|image| !image.is_empty()),
            launcher_pull_policy: layer.launcher_pull_policy.unwrap_or_default(),
            webhook_port: layer.webhook_port.unwrap_or(8443),
            webhook_client_ca: layer.webhook_client_ca,
            release_port: layer.release_port.unwrap_or(8444),
            health_port: layer.health_port.unwrap_or(8080),
            bootstrap_key_provider: layer.bootstrap_key_provider.unwrap_or(true),
            shutdown_grace: Duration::from_secs(layer.shutdown_grace_seconds.unwrap_or(5)),
            audit_file: layer.audit_file,
            audit_file_mib: layer.audit_file_mib.map_or(64, NonZeroU32::get),
            audit_files: layer.audit_files.map_or(8, NonZeroU32::get),
            audit_failure: layer.audit_failure.unwrap_or_default(),
            log: text(layer.log, DEFAULT_LOG),
        })
    }
}

/// What a pod can tell of itself without being told.
#[derive(Debug, Default)]
struct Surroundings {
    namespace: Option<String>,
    host_name: Option<String>,
}

impl Surroundings {
    fn observe() -> Self {
        Self {
            namespace: line_of(NAMESPACE_FILE),
            host_name: line_of(HOST_NAME_FILE),
        }
    }
}

fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(path)).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Why there are no settings to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file says what is not known.
    #[error("the configuration file {} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser says. The file holds no secret.
        source: Box<serde_saphyr::Error>,
    },
    /// Nobody says which namespace is the operator's.
    #[error("the operator's namespace is unknown: set --namespace or SECRETVAULT_NAMESPACE")]
    NoNamespace,
    /// Nobody says which pod this is.
    #[error("this pod's name is unknown: set --pod-name or SECRETVAULT_POD_NAME")]
    NoPodName,
    /// The file is not there, or not for us.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Libraries log requests and responses at their lower levels: those may hold what we must not
/// write down.
const DEFAULT_LOG: &str = "warn,secretvault_operator=info";
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[cfg(test)]
mod tests;
