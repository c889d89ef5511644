//! From the volume to the command.

use rustix::{
    io::Errno,
    process::{DumpableBehavior, set_dumpable_behavior},
};
use thiserror::Error;

use crate::{
    arguments::Run,
    environment::{self, EnvironmentError, Variable},
    execute::{self, ExecuteError},
    files::{self, FilesError},
    parent::{self, ParentError},
    room::Room,
    volume::{Volume, VolumeError},
};

/// Why a command was not run.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("the kernel does not let this process keep its memory to itself")]
    Dumpable(#[source] Errno),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Parent(#[from] ParentError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// Becomes the command, or starts it and returns its exit code when it has ended.
///
/// # Errors
/// The command was not started.
pub(crate) fn run(run: &Run) -> Result<u8, RunError> {
    if let Some(signal) = run.on_change {
        return Ok(parent::run(run, signal)?);
    }
    let variables = if run.env { variables(run)? } else { Vec::new() };
    Err(execute::become_it(&run.command, variables).into())
}

fn variables(run: &Run) -> Result<Vec<Variable>, RunError> {
    // From here on there is something to hide: no core dump, no debugger of the same user. What is
    // executed is as open as ever, because a new program has new memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(RunError::Dumpable)?;
    let volume = Volume::open(&run.files)?;
    let files = files::read(&volume, Room::beside(&run.command))?;
    let is_set = |name: &str| std::env::var_os(name).is_some();
    Ok(environment::variables_of(files, is_set)?)
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;
    use crate::arguments::{self, Task};

    #[test]
    fn before_anything_is_read_nobody_can_look_at_this_process() {
        let line = ["run", "--env", "--files", "/no/such/directory", "--", "app"];
        let Ok(Task::Run(run)) = arguments::parse(line.map(Into::into)) else {
            panic!("{line:?}");
        };
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        assert!(matches!(variables(&run), Err(RunError::Volume(_))));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    }
}
