//! The operator's process.

use std::{alloc::System, process::ExitCode};

use clap::Parser;
use secretvault_operator::{
    config::{Cli, Command},
    keyring_command, process, run,
};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is given back: the Transit client and the TLS and JSON layers hold tokens
/// and data keys in plain strings and buffers.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::exit_code(match cli.command {
        Some(Command::Keyring(command)) => keyring_command::execute(&command).map_err(Into::into),
        Some(Command::Run(overlay)) => run::operate(*overlay),
        None => run::operate(cli.run),
    })
}
