//! The commands that look at a cluster: `explain`, `who` and `doctor`. They change nothing.
//!
//! What they say of a pod is decided by the code that the operator decides with ([`secretvault_vault`]),
//! on the same objects, read as whoever types the command. `explain` needs no cluster if it is given
//! the manifests.
//!
//! # Guarantees
//! * No value is asked for, and none is shown: what is read are pods, vaults with sealed values, and
//!   names.
//! * What cannot be seen is said, and never taken for an answer.

mod client;

mod asked;

mod sight;

mod answer;

mod explain;

mod who;

mod doctor;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

use crate::command::{self, TableFormat};

pub use doctor::doctor;
pub use explain::explain;
pub use who::who;

/// Which pod is to be explained.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// [NAMESPACE/]NAME of a pod in the cluster; with --vaults, the file of a pod or of a workload's manifest, or -
    #[arg(long, value_name = "POD")]
    pub pod: String,
    /// Ask no cluster: the vaults are the manifests of this directory or file
    #[arg(long, value_name = "DIR", conflicts_with = "context")]
    pub vaults: Option<PathBuf>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = TableFormat::Table)]
    pub output: TableFormat,
}

/// Which vault, or which entry of it.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// The vault, in the namespace that -n names, and perhaps an entry of it: VAULT[/ENTRY]
    #[arg(value_name = "VAULT[/ENTRY]")]
    pub what: String,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Where SecretVault is installed
    #[arg(long, value_name = "NAMESPACE", default_value = SYSTEM)]
    pub system: String,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = TableFormat::Table)]
    pub output: TableFormat,
}

/// What is to be examined.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Where SecretVault is installed
    #[arg(long, value_name = "NAMESPACE", default_value = SYSTEM)]
    pub system: String,
    /// The API server's audit policy, which cannot be seen from outside: what it says of vaults is judged too
    #[arg(long, value_name = "FILE")]
    pub audit_policy: Option<PathBuf>,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = TableFormat::Table)]
    pub output: TableFormat,
}

/// Which cluster.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
}

/// Runs what waits for a cluster. 0 and 1 are answers; 2 says that there is none.
fn answered(answer: impl Future<Output = anyhow::Result<bool>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the command cannot begin");
    code(runtime.and_then(|runtime| runtime.block_on(answer)))
}

/// 0 for yes, 1 for no, 2 for no answer: a pipeline must not take the last for one of the others.
fn code(answer: anyhow::Result<bool>) -> ExitCode {
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            command::tell(&error);
            let _ = std::io::stderr().flush();
            ExitCode::from(2)
        }
    }
}

/// What stands after the help of `explain`.
pub const EXPLAIN_HELP: &str = "Examples:\n  \
    secretvault explain --pod shop/web-0\n  \
    secretvault explain --pod pod.yaml --vaults manifests/     # no cluster is asked\n\n\
    Exits with 0 if the pod would get its volumes, with 1 if it would be denied one, with 2 if that cannot be said.";

/// What stands after the help of `who`.
pub const WHO_HELP: &str = "Examples:\n  \
    secretvault who -n shop app\n  \
    secretvault who -n shop app/db/password\n\n\
    Exits with 2 if the vault cannot be read. What else cannot be seen is named.";

/// What stands after the help of `doctor`.
pub const DOCTOR_HELP: &str = "Examples:\n  \
    secretvault doctor\n  \
    secretvault doctor --audit-policy /etc/kubernetes/audit-policy.yaml\n\n\
    Exits with 1 if something is wrong, with 2 if the cluster does not answer. Warnings, and what cannot be seen, are no failure.";

/// Where the chart's documentation installs it.
const SYSTEM: &str = "secretvault-system";
