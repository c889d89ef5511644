//! The operator's process.

use std::process::ExitCode;

use clap::Parser;
use secretvault_operator::{
    config::{Cli, Command},
    keyring_command, process, run,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::exit_code(match cli.command {
        Some(Command::Keyring(command)) => keyring_command::execute(&command).map_err(Into::into),
        Some(Command::Run(overlay)) => run::operate(overlay),
        None => run::operate(cli.run),
    })
}
