//! What the command line says of itself: a completion script, and a manual page.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::output::print;
use crate::command::Cli;

/// Prints a completion script.
///
/// # Errors
/// As the kernel answers.
pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(script)
}

/// Prints the manual page: one page, in which each command has a section.
///
/// # Errors
/// As the kernel answers.
pub fn man() -> anyhow::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    print(page(&command)?)
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    heading("SH", "COMMANDS", &mut page)?;
    for command in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        section(command, &mut page)?;
    }
    heading("SH", "EXAMPLES", &mut page)?;
    after(command, &mut page)?;
    Ok(page)
}

fn section(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    heading("SS", name, page)?;
    // What every command takes stands once, above.
    let own = command.clone();
    let own = own.mut_args(|it| {
        let common = it.is_global_set() || it.get_id() == "help" || it.get_id() == "version";
        it.hide(common)
    });
    let has_options = own.get_arguments().any(|it| !it.is_hide_set());
    let man = Man::new(own);
    below_heading(page, |part| man.render_description_section(part))?;
    Roff::new().control("PP", []).to_writer(page)?;
    below_heading(page, |part| man.render_synopsis_section(part))?;
    if has_options {
        below_heading(page, |part| man.render_options_section(part))?;
    }
    after(command, page)
}

fn heading(level: &str, text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    Roff::new().control(level, [text]).to_writer(page)
}

/// Examples and notes, line by line as they were written.
fn after(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let Some(text) = command.get_after_help() else {
        return Ok(());
    };
    let mut roff = Roff::new();
    roff.control("PP", []).control("nf", []);
    for line in text.to_string().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).to_writer(page)
}

/// Takes a section of its own for a part of another one.
fn below_heading(
    page: &mut Vec<u8>,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut part = Vec::new();
    render(&mut part)?;
    let start = part.windows(HEADING.len()).position(|it| it == HEADING);
    let part = start.map_or(&[][..], |start| &part[start + 1..]);
    let body = part.iter().position(|byte| *byte == b'\n');
    page.write_all(body.map_or(&[], |end| &part[end + 1..]))
}

const HEADING: &[u8] = b"\n.SH ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_a_section_for_every_command_and_says_common_things_once() {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let page = String::from_utf8(page(&command).unwrap()).unwrap();
        for command in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            let name = command.get_bin_name().unwrap();
            assert!(
                page.contains(&format!(".SS \"{name}\"\n")),
                "{name}: {page}"
            );
        }
        assert_eq!(page.matches(r"\-\-keyring\fR").count(), 2, "{page}");
    }
}
