//! The process of the command `secretvault`.

use std::{alloc::System, process::ExitCode};

use clap::Parser;
use secretvault_cli::command::{self, Cli};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is given back: also the buffers of libraries that values passed through.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    match command::execute(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            command::tell(&error);
            ExitCode::FAILURE
        }
    }
}
