//! What goes to standard output, and what to standard error.

use std::{
    env,
    fmt::Display,
    fs::File,
    io::{self, IsTerminal, StdoutLock, Write},
    os::fd::AsFd,
};

use anyhow::Context;
use serde::Serialize;

use crate::{command::DocumentFormat, yaml};

/// Prints a text. A reader that has seen enough of it, such as `head`, is no failure.
///
/// # Errors
/// As the kernel answers.
pub(crate) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let out = io::stdout().lock();
    allow_closed(write(&out, text.as_ref()))
}

/// Prints a value and not a byte more; for a person, on a line of its own.
///
/// # Errors
/// As the kernel answers.
pub(super) fn print_exactly(value: &[u8]) -> anyhow::Result<()> {
    let out = io::stdout().lock();
    let line_break = out.is_terminal() && !value.ends_with(b"\n");
    let printed = write(&out, value);
    let printed = printed.and_then(|()| write(&out, if line_break { b"\n" } else { b"" }));
    allow_closed(printed)
}

/// Tells what is wrong, as `main` tells a command's error.
pub(crate) fn warn(problem: impl Display) {
    let _ = writeln!(io::stderr(), "secretvault: {problem}");
}

/// Writes YAML or JSON.
///
/// # Errors
/// None that depends on what is in it.
pub(crate) fn document(value: &impl Serialize, format: DocumentFormat) -> anyhow::Result<String> {
    let written = match format {
        DocumentFormat::Json => serde_json::to_string_pretty(value)? + "\n",
        DocumentFormat::Yaml => yaml::write(value)?,
    };
    Ok(written)
}

/// Whether somebody looks who wants a header to stand out.
pub(crate) fn is_styled() -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
    !unwanted && io::stdout().is_terminal()
}

/// Goes around the buffer of standard output, which is never wiped.
fn write(out: &StdoutLock<'_>, bytes: &[u8]) -> io::Result<()> {
    File::from(out.as_fd().try_clone_to_owned()?).write_all(bytes)
}

fn allow_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}
