//! The command line. Read by hand: the pod webhook writes it, and two tasks with three flags need
//! no library.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use rustix::process::Signal;
use thiserror::Error;

/// What the program is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Install(PathBuf),
    Run(Run),
    Version,
}

/// A command, and what it is to find.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where the volume is.
    pub(crate) files: PathBuf,
    /// Whether each file's value becomes a variable.
    pub(crate) env: bool,
    /// What the command gets when the files change.
    pub(crate) on_change: Option<ChangeSignal>,
    /// What to run.
    pub(crate) command: CommandLine,
}

/// A program and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// A path, or a name to be looked up in `PATH`.
    pub(crate) program: OsString,
    /// Without the program.
    pub(crate) arguments: Vec<OsString>,
}

/// A signal that programs take as "read your files again".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeSignal {
    Hup,
    Int,
    Quit,
    Term,
    Usr1,
    Usr2,
    Winch,
}

impl ChangeSignal {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Term,
        Self::Usr1,
        Self::Usr2,
        Self::Winch,
    ];

    fn read(text: &OsStr) -> Option<Self> {
        let name = text.to_str()?.strip_prefix("signal:")?;
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// As `--on-change` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Winch => "WINCH",
        }
    }

    /// As the kernel has it.
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Hup => Signal::HUP,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Term => Signal::TERM,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
            Self::Winch => Signal::WINCH,
        }
    }

    /// Whether it asks a command to end, whatever state that is in.
    pub(crate) fn is_to_end(self) -> bool {
        match self {
            Self::Int | Self::Quit | Self::Term => true,
            Self::Hup | Self::Usr1 | Self::Usr2 | Self::Winch => false,
        }
    }
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum UsageError {
    #[error("no command: write it after `--`, as in `run --env -- ./server --port 80`")]
    CommandMissing,
    #[error("{0:?} is one word too many: `install` takes a path and nothing else")]
    Extra(OsString),
    #[error(
        "{0:?} is no flag of `run`: there are --files, --env and --on-change, and the command comes after `--`"
    )]
    Flag(OsString),
    #[error("`install` needs the path at which the program is to be")]
    PathMissing,
    #[error(
        "--on-change {0:?} is not possible: use signal: and one of HUP, INT, QUIT, TERM, USR1, USR2, WINCH, as in signal:HUP"
    )]
    Signal(OsString),
    #[error("{0:?} is no task: there are `install` and `run`, see --help")]
    Task(OsString),
    #[error("no task: there are `install` and `run`, see --help")]
    TaskMissing,
    #[error("{0} needs a value")]
    ValueMissing(&'static str),
}

/// Reads the command line, without the program's own name.
///
/// # Errors
/// It is none of `HELP`.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Task, UsageError> {
    let mut words = words.into_iter();
    let task = words.next().ok_or(UsageError::TaskMissing)?;
    match task.to_str() {
        Some("help" | "--help" | "-h") => Ok(Task::Help),
        Some("version" | "--version" | "-V") => Ok(Task::Version),
        Some("install") => install(words),
        Some("run") => run(words).map(Task::Run),
        Some(_) | None => Err(UsageError::Task(task)),
    }
}

fn install(mut words: impl Iterator<Item = OsString>) -> Result<Task, UsageError> {
    let path = words.next().ok_or(UsageError::PathMissing)?;
    match words.next() {
        None => Ok(Task::Install(path.into())),
        Some(extra) => Err(UsageError::Extra(extra)),
    }
}

fn run(mut words: impl Iterator<Item = OsString>) -> Result<Run, UsageError> {
    let mut files = PathBuf::from(DEFAULT_FILES);
    let mut env = false;
    let mut on_change = None;
    loop {
        let word = words.next().ok_or(UsageError::CommandMissing)?;
        match word.to_str() {
            Some("--") => break,
            Some("--env") => env = true,
            Some("--files") => {
                let value = words.next().ok_or(UsageError::ValueMissing("--files"))?;
                files = value.into();
            }
            Some("--on-change") => {
                let value = words
                    .next()
                    .ok_or(UsageError::ValueMissing("--on-change"))?;
                let signal = ChangeSignal::read(&value);
                on_change = Some(signal.ok_or(UsageError::Signal(value))?);
            }
            Some(_) | None => return Err(UsageError::Flag(word)),
        }
    }
    let program = words.next().ok_or(UsageError::CommandMissing)?;
    let arguments = words.collect();
    Ok(Run {
        files,
        env,
        on_change,
        command: CommandLine { program, arguments },
    })
}

/// Where the pod webhook mounts the volume unless something else is said.
const DEFAULT_FILES: &str = "/run/secrets";

/// What `--help` says.
pub(crate) const HELP: &str = "\
Usage: secretvault-launcher install PATH
       secretvault-launcher run [--files DIR] [--env] [--on-change signal:NAME] -- COMMAND [ARGUMENT...]

install  Copy this program to PATH, readable and executable for everybody.
run      Become COMMAND, with the files of a SecretVault volume:

  --files DIR              where the volume is [default: /run/secrets]
  --env                    a variable for each file: db/password is DB_PASSWORD
  --on-change signal:NAME  stay as its parent, and send it this signal when the files have changed:
                           HUP, INT, QUIT, TERM, USR1, USR2 or WINCH

A variable holds the file's bytes as they are, and what they were at the start: a signal changes the
files, not the variables. A command that does not take HUP, USR1, USR2 or WINCH yet gets it when it does.

Exit codes: the command's own, or 128 and the number of the signal that ended it; 125 this program
refused, 126 the command cannot be run, 127 it was not found.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Task, UsageError> {
        parse(line.split_ascii_whitespace().map(OsString::from))
    }

    fn a_run(line: &str) -> Run {
        match of(line).unwrap() {
            Task::Run(run) => run,
            other @ (Task::Help | Task::Install(_) | Task::Version) => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_flags_a_command_is_run_as_it_is() {
        let run = a_run("run -- sleep 5");
        let command = CommandLine {
            program: "sleep".into(),
            arguments: vec!["5".into()],
        };
        let expected = Run {
            files: "/run/secrets".into(),
            env: false,
            on_change: None,
            command,
        };
        assert_eq!(run, expected);
    }

    #[test]
    fn flags_are_read_up_to_the_two_dashes_and_belong_to_the_command_after_them() {
        let run = a_run("run --files /s --env --on-change signal:HUP -- app --env -- --files");
        assert_eq!(run.files, PathBuf::from("/s"));
        assert!(run.env);
        assert_eq!(run.on_change, Some(ChangeSignal::Hup));
        assert_eq!(run.command.arguments, ["--env", "--", "--files"]);
    }

    #[test]
    fn each_signal_is_known_by_its_name_and_no_other_word_is_one() {
        for signal in ChangeSignal::ALL {
            let run = a_run(&format!("run --on-change signal:{} -- app", signal.name()));
            assert_eq!(run.on_change, Some(signal));
        }
        let others = [
            "signal:KILL",
            "signal:STOP",
            "signal:CHLD",
            "signal:SIGHUP",
            "signal:hup",
            "signal:1",
            "signal:",
            "HUP",
            "none",
            "restart",
        ];
        for word in others {
            let refused = of(&format!("run --on-change {word} -- app"));
            assert_eq!(refused, Err(UsageError::Signal(word.into())));
        }
    }

    #[test]
    fn a_signal_s_name_is_its_number_s() {
        let numbers = ChangeSignal::ALL.map(|signal| signal.signal().as_raw());
        assert_eq!(numbers, [1, 2, 3, 15, 10, 12, 28]);
    }

    #[test]
    fn each_wrong_line_has_a_refusal_of_its_own() {
        let table = [
            ("", UsageError::TaskMissing),
            ("start", UsageError::Task("start".into())),
            ("install", UsageError::PathMissing),
            ("install /a /b", UsageError::Extra("/b".into())),
            ("run", UsageError::CommandMissing),
            ("run --env", UsageError::CommandMissing),
            ("run --env --", UsageError::CommandMissing),
            ("run app", UsageError::Flag("app".into())),
            ("run --env app", UsageError::Flag("app".into())),
            (
                "run --on-chnage x -- app",
                UsageError::Flag("--on-chnage".into()),
            ),
            ("run --files", UsageError::ValueMissing("--files")),
            ("run --on-change", UsageError::ValueMissing("--on-change")),
        ];
        for (line, error) in table {
            assert_eq!(of(line), Err(error), "{line}");
        }
    }

    #[test]
    fn help_and_version_are_found_where_people_look() {
        for word in ["help", "--help", "-h"] {
            assert_eq!(of(word), Ok(Task::Help));
        }
        for word in ["version", "--version", "-V"] {
            assert_eq!(of(word), Ok(Task::Version));
        }
    }
}
