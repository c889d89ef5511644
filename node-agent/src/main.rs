//! The node agent's process.

use std::alloc::System;

use anyhow::Context;
use secretvault_node_agent::{config::Config, harden, log, run};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is given back: also the buffers of libraries that keys passed through.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> anyhow::Result<()> {
    let config = Config::load()?;
    log::start(&config.log)?;
    // While there is one thread.
    harden::harden().context("cannot drop privileges: the node agent must be started as root")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()?;
    runtime.block_on(run::run(config))
}

/// The agent waits far more than it works.
const WORKERS: usize = 2;

/// Bounds what a burst of pods costs; more wait in line.
const BLOCKING: usize = 16;
