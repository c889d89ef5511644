//! The command takes this process' place.

use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use thiserror::Error;

use crate::{arguments::CommandLine, environment::Variable};

/// Why the command does not run.
#[derive(Debug, Error)]
pub(crate) enum ExecuteError {
    #[error("{program} cannot be run")]
    Failed {
        program: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{program} was not found, or its interpreter was not: is it in this image?")]
    Missing {
        program: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{0} cannot be run: its arguments and variables are more than the kernel has room for")]
    TooLong(PathBuf),
}

impl ExecuteError {
    /// What shells end with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed { .. } | Self::TooLong(_) => 126,
            Self::Missing { .. } => 127,
        }
    }
}

/// Executes the command with further variables. Returns only if that fails.
///
/// The new program has new memory: of the values it has what the kernel has copied into its
/// environment, and nothing else.
pub(crate) fn become_it(command: &CommandLine, variables: Vec<Variable>) -> ExecuteError {
    let mut process = Command::new(&command.program);
    process.args(&command.arguments);
    process.envs(variables.into_iter().map(|it| (it.name, it.value)));
    failure(&command.program, process.exec())
}

fn failure(program: impl AsRef<Path>, cause: io::Error) -> ExecuteError {
    let program = program.as_ref().to_owned();
    if cause.kind() == io::ErrorKind::ArgumentListTooLong {
        ExecuteError::TooLong(program)
    } else if cause.kind() == io::ErrorKind::NotFound {
        ExecuteError::Missing { program, cause }
    } else {
        ExecuteError::Failed { program, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_code_that_shells_give_it() {
        let table = [
            (nix::libc::ENOENT, 127),
            (nix::libc::EACCES, 126),
            (nix::libc::ENOEXEC, 126),
            (nix::libc::E2BIG, 126),
        ];
        for (number, code) in table {
            let error = failure("app", io::Error::from_raw_os_error(number));
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
