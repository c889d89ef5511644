//! What the process is before it does anything: it leaves no memory behind, and its log holds
//! what we chose to write.

use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing::error;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// Keeps keys and values from leaving this process by the kernel's hand: no core dump, and no
/// other process of the same user may read its memory.
///
/// # Errors
/// Fails when the kernel refuses.
pub fn harden() -> io::Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Has a panic say where it was, and nothing else.
pub fn hide_panics() {
    panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        // The payload may hold what was being worked on.
        error!(at, "panicked");
    }));
}

/// The filter of the log, without the libraries that write down what they get: the Transit client
/// logs a server's errors, and would log requests and answers.
///
/// # Errors
/// Fails when the filter is malformed.
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::builder().parse(text)?;
    for library in ["rustify=off", "vaultrs=off"] {
        filter = filter.add_directive(library.parse()?);
    }
    Ok(filter)
}

/// Logs JSON lines to standard output, where the audit log goes too: a container runtime splits what is
/// longer than 16 KiB, and kubelet would put a line of another stream between the parts.
///
/// # Errors
/// Fails when the filter is malformed.
pub fn log(text: &str) -> Result<(), ParseError> {
    let filter = filter(text)?;
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(io::stdout)
        .finish();
    // A second subscriber can only come from a test in the same process.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Ends the process, with the whole chain of causes on standard error if it failed.
pub fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    let _ = writeln!(io::stderr(), "secretvault-operator: {error:#}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_dump() {
        harden().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }

    #[test]
    fn the_transit_client_is_silent_whatever_the_filter_says() {
        for text in ["warn", "trace", "vaultrs=trace,rustify=trace"] {
            let filter = filter(text).unwrap().to_string();
            assert!(filter.contains("vaultrs=off"), "{filter}");
            assert!(filter.contains("rustify=off"), "{filter}");
            assert!(!filter.contains("vaultrs=trace"), "{filter}");
        }
    }

    #[test]
    fn a_malformed_filter_is_an_error() {
        assert!(log("secretvault=[").is_err());
    }
}
