//! The launcher: a small static program that the pod webhook puts before a container's own command.
//!
//! ```text
//! install      an init container of our own image copies the program to where the pod's containers find it
//! run          the program becomes the command:
//!   volume       one generation of the files, all of it or none
//!   environment  a variable for each file, on demand
//!   execute      from here on it is the command's process
//!   parent       or the command's parent, which signals it when the files change
//! ```
//!
//! # Guarantees
//! * Values are in this process only between reading them and executing the command, which replaces
//!   its memory. No core dump and no other process of the same user can read it meanwhile. The
//!   parent that waits has never read one.
//! * What is freed is wiped, copies that a library makes too.
//! * An error names files and variables and never a value.
//! * It signals the child that it has started itself, and nothing else.
//!
//! Exit codes are those of `env` and of shells: 125 for a refusal of its own, 126 for a command
//! that cannot be run, 127 for one that is not found, else the command's; 128 and the number of the
//! signal that has ended it.

mod arguments;

mod install;

mod run;

mod volume;

mod room;

mod files;

mod environment;

mod execute;

mod parent;

use std::{
    alloc::System,
    env,
    error::Error,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use zeroizing_alloc::ZeroAlloc;

use arguments::{HELP, Task};
use run::RunError;

#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    match arguments::parse(env::args_os().skip(1)) {
        Ok(Task::Help) => print(HELP),
        Ok(Task::Version) => print(concat!(
            "secretvault-launcher ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Ok(Task::Install(path)) => match install::install(&path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error),
        },
        Ok(Task::Run(run)) => match run::run(&run) {
            Ok(code) => code.into(),
            Err(RunError::Execute(error)) => {
                complain(&error);
                error.code().into()
            }
            Err(error) => refuse(&error),
        },
        Err(error) => refuse(&error),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => REFUSED.into(),
    }
}

fn refuse(error: &dyn Error) -> ExitCode {
    complain(error);
    REFUSED.into()
}

/// An error with its causes, in one line.
fn complain(error: &dyn Error) {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    say(line);
}

fn say(line: impl Display) {
    // Who closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "secretvault-launcher: {line}");
}

/// What `env`, `nice` and `docker run` answer when it is they who failed.
const REFUSED: u8 = 125;
