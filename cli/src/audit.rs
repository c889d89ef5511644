//! `secretvault audit`: what may be asked of the operator's audit log, without a cluster.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use secretvault_audit::{ChainSummary, Expectation, PublicKey, Report, Verifier, checkpoints};

use crate::show::output::{print, warn};

/// What to do with an audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Says whether all lines of a log are there, as they were written, in their order; exits with 1
    /// if not
    #[command(after_help = HELP)]
    Verify(VerifyArgs),
}

/// Which log, and what it is held against.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The files of the log, in any order; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,
    /// The public key that signs the log, in PEM; again for one that signed before
    #[arg(long, value_name = "FILE", required_unless_present = "unsigned")]
    key: Vec<PathBuf>,
    /// Look at no signature: whoever can write to the log could have made all of it
    #[arg(long, conflicts_with = "key")]
    unsigned: bool,
    /// Checkpoints that were kept elsewhere: as lines, or the ConfigMap in JSON; again for more
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Let chains begin later than with their first line: the oldest files were rotated away
    #[arg(long)]
    rotated: bool,
    /// Ask for no chain whose checkpoint was made before, as in 2026-11-27T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "checkpoints")]
    since: Option<Timestamp>,
}

/// Does it.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub fn execute(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(arguments) => verify(arguments),
    }
}

fn verify(arguments: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let mut verifier = Verifier::new(expectation(arguments)?);
    for file in &arguments.files {
        let name = file.display().to_string();
        let read = if file == Path::new("-") {
            verifier.read("standard input", io::stdin().lock())
        } else {
            File::open(file).and_then(|file| verifier.read(&name, BufReader::new(file)))
        };
        read.with_context(|| format!("{name} cannot be read"))?;
    }
    let report = verifier.finish();
    if report.chains.is_empty() && report.findings.is_empty() {
        bail!("there is no line of an audit log in it");
    }
    tell(&report, arguments.unsigned)?;
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}

fn expectation(arguments: &VerifyArgs) -> anyhow::Result<Expectation> {
    let mut expectation = Expectation {
        rotated: arguments.rotated,
        since: arguments.since,
        ..Expectation::default()
    };
    for file in &arguments.key {
        let name = || file.display().to_string();
        let key = PublicKey::from_pem(&text(file)?).with_context(name)?;
        expectation.keys.push(key);
    }
    for file in &arguments.checkpoints {
        let name = || file.display().to_string();
        let kept = checkpoints(&text(file)?).with_context(name)?;
        expectation.checkpoints.extend(kept);
    }
    Ok(expectation)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file);
    text.with_context(|| format!("{} cannot be read", file.display()))
}

fn tell(report: &Report, unsigned: bool) -> anyhow::Result<()> {
    let chains = report.chains.iter();
    let chains = chains.map(|chain| format!("{}\n", summary(chain, unsigned)));
    print(chains.collect::<String>())?;
    for finding in &report.findings {
        warn(finding);
    }
    let lines: u64 = report.chains.iter().map(|chain| chain.lines).sum();
    match report.findings.len() {
        0 => print(format!("in all: {lines} lines, as they were written\n"))?,
        1 => warn("the log is not as it was written: 1 finding"),
        many => warn(format_args!(
            "the log is not as it was written: {many} findings"
        )),
    }
    Ok(())
}

fn summary(chain: &ChainSummary, unsigned: bool) -> String {
    let ChainSummary {
        chain,
        first,
        last,
        signed,
        ..
    } = chain;
    let signed = match signed {
        _ if unsigned => "signatures not looked at".to_owned(),
        None => "not signed".to_owned(),
        Some(signed) if signed == last => "all signed".to_owned(),
        Some(signed) => format!("signed up to line {signed}"),
    };
    format!("{chain}: lines {first} to {last}, {signed}")
}

const HELP: &str = "\
Lines that are none of an audit log are passed over, so a pod's whole log will do. A chain is one run of one
replica. Without --checkpoints, an end that was cut off cannot be seen.

Examples:
  kubectl -n secretvault-system logs -l app.kubernetes.io/component=operator --tail=-1 | secretvault audit verify --key audit.pem
  secretvault audit verify audit.jsonl* --key audit.pem --checkpoints checkpoints.json";
