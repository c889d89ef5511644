//! Configuration: a flag wins over its `SECRETVAULT_*` variable, which wins over the file.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;

use crate::{
    csi::TokenPlace,
    release::{Address, Credentials},
};

/// SecretVault's node agent: writes secrets into pods' volumes, as CSI driver of one node.
#[derive(Debug, Default, Parser, Deserialize)]
#[command(name = "secretvault-node-agent", version)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// File with any of these settings, in YAML or JSON
    #[arg(long, env = "SECRETVAULT_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// This node's name, as the API server knows it
    #[arg(long, env = "SECRETVAULT_NODE_NAME")]
    node_name: Option<String>,
    /// kubelet's root directory, as kubelet writes it [default: /var/lib/kubelet]
    #[arg(long, env = "SECRETVAULT_KUBELET_DIR")]
    kubelet_dir: Option<PathBuf>,
    /// The driver's name [default: csi.secretvault.dev]
    #[arg(long, env = "SECRETVAULT_DRIVER_NAME")]
    driver_name: Option<String>,
    /// The operator's host:port; the host is the name in its certificate
    /// [default: secretvault-operator.secretvault-system.svc:8444]
    #[arg(long, env = "SECRETVAULT_OPERATOR_ADDRESS")]
    operator_address: Option<String>,
    /// The operator's CA, in PEM [default: /etc/secretvault/ca/ca.crt]
    #[arg(long, env = "SECRETVAULT_OPERATOR_CA_FILE")]
    operator_ca_file: Option<PathBuf>,
    /// Our own service-account token, audience secretvault-operator
    /// [default: /var/run/secrets/secretvault/token]
    #[arg(long, env = "SECRETVAULT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// A directory on a tmpfs that outlives the container [default: /run/secretvault]
    #[arg(long, env = "SECRETVAULT_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Bytes that one volume may take: twice its contents [default: 32Mi]
    #[arg(long, env = "SECRETVAULT_VOLUME_SIZE_LIMIT")]
    volume_size_limit: Option<Bytes>,
    /// Bytes that all volumes of the node may take [default: 256Mi]
    #[arg(long, env = "SECRETVAULT_NODE_BUDGET")]
    node_budget: Option<Bytes>,
    /// Where to serve /livez, /readyz and /metrics [default: port 8080, all addresses]
    #[arg(long, env = "SECRETVAULT_METRICS_ADDRESS")]
    metrics_address: Option<SocketAddr>,
    /// What CSIDriver.serviceAccountTokenInSecrets says: whether kubelet puts pods' tokens into
    /// the secrets of its calls (from 1.35 on) or into the volume context [default: true]
    #[arg(long, visible_alias = "service-account-token-in-secrets",
        env = "SECRETVAULT_TOKENS_IN_SECRETS", num_args = 0..=1, default_missing_value = "true")]
    tokens_in_secrets: Option<bool>,
    /// What to log, in the form of RUST_LOG [default: info]
    #[arg(long, env = "SECRETVAULT_LOG")]
    log: Option<String>,
}

/// The configuration, complete and checked.
#[derive(Debug)]
pub struct Config {
    /// This node's name.
    pub node_name: String,
    /// kubelet's root directory.
    pub kubelet_dir: PathBuf,
    /// The driver's name.
    pub driver_name: String,
    /// Where the operator is.
    pub operator: Address,
    /// What the operator wants to see.
    pub credentials: Credentials,
    /// What outlives the container.
    pub state_dir: PathBuf,
    /// Bytes for one volume.
    pub volume_size_limit: u64,
    /// Bytes for all.
    pub node_budget: u64,
    /// Where to serve HTTP.
    pub metrics_address: SocketAddr,
    /// Where pods' tokens are.
    pub token_place: TokenPlace,
    /// What to log.
    pub log: String,
}

impl Config {
    /// Reads the command line, the environment and the file.
    ///
    /// # Errors
    /// What cannot be read, or is missing.
    pub fn load() -> anyhow::Result<Self> {
        Self::complete(Settings::parse())
    }

    fn complete(given: Settings) -> anyhow::Result<Self> {
        let settings = match &given.config {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                let from_file = serde_saphyr::from_str(&text)
                    .with_context(|| format!("cannot use {}", file.display()))?;
                given.or(from_file)
            }
            None => given,
        };
        settings.try_into()
    }

    /// The CSI socket.
    pub fn csi_socket(&self) -> PathBuf {
        self.kubelet_dir
            .join("plugins")
            .join(&self.driver_name)
            .join("csi.sock")
    }

    /// The socket by which kubelet finds us.
    ///
    /// Its name has an `@` for a reason: kubelet's registration client sends the whole path,
    /// percent-encoded, as HTTP/2 `:authority` (it sets `localhost` for the CSI socket only), and
    /// our HTTP library takes percent signs only in the part before an `@`, the user information
    /// of RFC 3986 section 3.2.1.
    pub fn registration_socket(&self) -> PathBuf {
        self.kubelet_dir
            .join("plugins_registry")
            .join(format!("{}@reg.sock", self.driver_name))
    }
}

impl Settings {
    fn or(self, other: Self) -> Self {
        Self {
            config: self.config,
            node_name: self.node_name.or(other.node_name),
            kubelet_dir: self.kubelet_dir.or(other.kubelet_dir),
            driver_name: self.driver_name.or(other.driver_name),
            operator_address: self.operator_address.or(other.operator_address),
            operator_ca_file: self.operator_ca_file.or(other.operator_ca_file),
            token_file: self.token_file.or(other.token_file),
            state_dir: self.state_dir.or(other.state_dir),
            volume_size_limit: self.volume_size_limit.or(other.volume_size_limit),
            node_budget: self.node_budget.or(other.node_budget),
            metrics_address: self.metrics_address.or(other.metrics_address),
            tokens_in_secrets: self.tokens_in_secrets.or(other.tokens_in_secrets),
            log: self.log.or(other.log),
        }
    }
}

impl TryFrom<Settings> for Config {
    type Error = anyhow::Error;

    fn try_from(settings: Settings) -> anyhow::Result<Self> {
        let text = |given: Option<String>, default: &str| given.unwrap_or(default.to_owned());
        let path = |given: Option<PathBuf>, default: &str| given.unwrap_or(default.into());
        let operator = text(settings.operator_address, DEFAULT_OPERATOR);
        let tokens = match settings.tokens_in_secrets {
            Some(true) | None => TokenPlace::Secrets,
            Some(false) => TokenPlace::VolumeContext,
        };
        Ok(Self {
            node_name: settings.node_name.context("--node-name is missing")?,
            kubelet_dir: path(settings.kubelet_dir, "/var/lib/kubelet"),
            driver_name: text(settings.driver_name, "csi.secretvault.dev"),
            operator: operator.parse().context("--operator-address")?,
            credentials: Credentials {
                ca_file: path(settings.operator_ca_file, "/etc/secretvault/ca/ca.crt"),
                token_file: path(settings.token_file, "/var/run/secrets/secretvault/token"),
            },
            state_dir: path(settings.state_dir, "/run/secretvault"),
            volume_size_limit: settings.volume_size_limit.map_or(32 << 20, |bytes| bytes.0),
            node_budget: settings.node_budget.map_or(256 << 20, |bytes| bytes.0),
            metrics_address: settings.metrics_address.unwrap_or(DEFAULT_METRICS),
            token_place: tokens,
            log: text(settings.log, "info"),
        })
    }
}

/// A number of bytes, as Kubernetes writes quantities of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Quantity")]
struct Bytes(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Quantity {
    Number(u64),
    Text(String),
}

impl FromStr for Bytes {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, NoQuantity> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text[digits.len()..] {
            "" => 1,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            _ => return Err(NoQuantity),
        };
        let number: u64 = digits.parse().map_err(|_| NoQuantity)?;
        number.checked_mul(factor).map(Self).ok_or(NoQuantity)
    }
}

impl TryFrom<Quantity> for Bytes {
    type Error = NoQuantity;

    fn try_from(quantity: Quantity) -> Result<Self, NoQuantity> {
        match quantity {
            Quantity::Number(bytes) => Ok(Self(bytes)),
            Quantity::Text(text) => text.parse(),
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number of bytes, such as 64Mi")]
struct NoQuantity;

const DEFAULT_OPERATOR: &str = "secretvault-operator.secretvault-system.svc:8444";
const DEFAULT_METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 8080);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Settings {
        Settings::try_parse_from([&["agent"], arguments].concat()).unwrap()
    }

    #[test]
    fn a_name_is_all_that_must_be_given() {
        let config = Config::complete(settings(&["--node-name", "n1"])).unwrap();
        assert_eq!(config.operator.to_string(), DEFAULT_OPERATOR);
        assert_eq!(config.token_place, TokenPlace::Secrets);
        assert_eq!(
            config.registration_socket(),
            PathBuf::from("/var/lib/kubelet/plugins_registry/csi.secretvault.dev@reg.sock")
        );
        assert_eq!(
            config.csi_socket(),
            PathBuf::from("/var/lib/kubelet/plugins/csi.secretvault.dev/csi.sock")
        );
        assert!(Config::complete(Settings::default()).is_err());
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "node-name: file\nnode-budget: 1Gi\ntokens-in-secrets: false\n",
        )
        .unwrap();
        let path = file.path().to_str().unwrap();
        let config =
            Config::complete(settings(&["--config", path, "--node-name", "flag"])).unwrap();
        assert_eq!(
            (config.node_name.as_str(), config.node_budget),
            ("flag", 1 << 30)
        );
        assert_eq!(config.token_place, TokenPlace::VolumeContext);
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "node-nam: x\n").unwrap();
        let given = settings(&["--config", file.path().to_str().unwrap()]);
        assert!(Config::complete(given).is_err());
    }

    #[test]
    fn the_place_of_tokens_can_be_said_in_three_ways() {
        for (arguments, place) in [
            (&["--tokens-in-secrets"][..], TokenPlace::Secrets),
            (&["--tokens-in-secrets=false"], TokenPlace::VolumeContext),
            (
                &["--service-account-token-in-secrets=false"],
                TokenPlace::VolumeContext,
            ),
        ] {
            let given = settings(&[&["--node-name=n"], arguments].concat());
            assert_eq!(Config::complete(given).unwrap().token_place, place);
        }
    }

    #[test]
    fn bytes_are_written_as_kubernetes_does() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1Ki", 1024),
            ("64Mi", 64 << 20),
            ("1G", 1_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
        }
        for text in ["", "-1", "1.5Gi", "1Xi", "Mi", "99999999999Gi"] {
            assert_eq!(text.parse::<Bytes>(), Err(NoQuantity), "{text}");
        }
    }
}
