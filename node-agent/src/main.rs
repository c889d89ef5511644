//! The node agent's process.

use anyhow::Context;
use secretvault_node_agent::{config::Config, harden, log, run};

fn main() -> anyhow::Result<()> {
    let config = Config::load()?;
    log::start(&config.log)?;
    // While there is one thread.
    harden::harden().context("cannot drop privileges: the node agent must be started as root")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(run::run(config))
}

/// The agent waits far more than it works.
const WORKERS: usize = 2;
