//! What SecretVault costs and how fast it is, on the real cluster: `make bench`.
//!
//! Machines differ and are noisy, so what is compared is measured in one run, turn by turn, and the
//! report gives ratios beside times. Nothing here fails for being slow.
//!
//! With a path as argument the report is written there too. Further arguments name the parts that are
//! measured: starts, changes, memory, keys, launcher. None: all of them.

mod changes;
mod cost;
mod keys;
mod launcher;
mod pods;
mod report;
mod starts;
mod times;

use std::error::Error;

use kube::Client;

use report::Report;

/// What ends a measurement: it is told, and nothing is retried.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // cargo itself passes `--bench`.
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let path = words.next();
    let wanted: Vec<String> = words.collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|it| it == part);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::try_default().await?;
    let mut report = Report::begin();
    if is_wanted("starts") {
        starts::measure(&client, &mut report).await?;
    }
    if is_wanted("changes") {
        changes::measure(&client, &mut report).await?;
    }
    if is_wanted("memory") {
        changes::sizes(&client, &mut report).await?;
    }
    if is_wanted("keys") {
        keys::measure(&client, &mut report).await?;
    }
    if is_wanted("launcher") {
        launcher::measure(&mut report)?;
    }
    let text = report.text();
    if let Some(path) = path {
        std::fs::write(path, &text)?;
    }
    say(&text);
    Ok(())
}

/// For whoever watches: a measurement takes minutes.
#[expect(clippy::print_stdout, reason = "this is a program for a terminal")]
fn say(text: &str) {
    println!("{text}");
}
