//! `doctor`: whether an installation is sound, as far as it can be seen from outside.
//!
//! Nothing is changed: the one thing that is written is a vault that the API server is asked to
//! pretend to create, without a secret in it. What cannot be seen is a finding of its own.

mod agents;

mod audit;

mod keys;

mod scrape;

mod webhook;

use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    DoctorArgs, answered,
    client::{Blind, Cluster},
};
use crate::{
    session::Session,
    show::{
        mask::one_line,
        table::{Row, print_rows},
    },
};

/// Examines an installation. No if something is wrong.
pub fn doctor(session: &Session, arguments: &DoctorArgs) -> ExitCode {
    answered(examine(session, arguments))
}

async fn examine(session: &Session, arguments: &DoctorArgs) -> anyhow::Result<bool> {
    let policy = arguments.audit_policy.as_deref();
    let policy = policy.map(audit::Policy::read).transpose()?;
    let cluster = Cluster::connect(arguments.cluster.context.as_deref()).await?;
    let patient = Patient {
        system: &arguments.system,
        namespace: &session.namespace,
        now: session.now,
        version: cluster.version().await?,
        cluster,
    };
    let mut findings = patient.kubernetes();
    findings.extend(keys::providers(&patient).await);
    findings.extend(keys::vaults(&patient).await);
    findings.extend(webhook::operator(&patient).await);
    findings.extend(webhook::webhooks(&patient).await);
    findings.push(webhook::trial(&patient).await);
    findings.extend(webhook::policies(&patient).await);
    findings.extend(agents::agents(&patient).await);
    findings.extend(agents::clocks(&patient).await);
    findings.push(audit::levels(&patient).await);
    findings.extend(policy.map(|policy| policy.judged()));
    print_rows(&findings, arguments.output, session.now)?;
    Ok(findings.iter().all(|it| it.state != State::Wrong))
}

/// What is examined.
struct Patient<'a> {
    cluster: Cluster,
    /// Where SecretVault is installed.
    system: &'a str,
    /// Where a vault is tried.
    namespace: &'a str,
    now: Timestamp,
    /// Kubernetes' version.
    version: (u32, u32),
}

impl Patient<'_> {
    fn kubernetes(&self) -> Vec<Finding> {
        let (major, minor) = self.version;
        let text = format!("Kubernetes {major}.{minor}");
        vec![if self.version < OLDEST {
            let needs = format!("{text}: {}.{} or newer is needed", OLDEST.0, OLDEST.1);
            Finding::wrong("kubernetes", needs)
        } else {
            Finding::good("kubernetes", text)
        }]
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    state: State,
    what: String,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It cannot be seen, or not by this person.
    Unseen,
    /// It works, and somebody should know something.
    Warning,
    /// It does not work, or not for long.
    Wrong,
}

impl Finding {
    fn good(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Good, what)
    }

    fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Warning, what)
    }

    fn wrong(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Wrong, what)
    }

    fn unseen(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Unseen, what)
    }

    fn blind(check: &'static str, blind: &Blind) -> Self {
        Self::new(check, State::Unseen, blind.to_string())
    }

    fn new(check: &'static str, state: State, what: impl Into<String>) -> Self {
        Self {
            check,
            state,
            what: what.into(),
        }
    }
}

impl Row for Finding {
    const HEADER: &'static [&'static str] = &["CHECK", "STATE", "FOUND"];

    fn cells(&self, _: Timestamp) -> Vec<String> {
        let state = match self.state {
            State::Good => "good",
            State::Unseen => "unseen",
            State::Warning => "warning",
            State::Wrong => "WRONG",
        };
        vec![
            self.check.to_owned(),
            state.to_owned(),
            one_line(&self.what, WIDTH),
        ]
    }
}

/// Some names of many, for a message.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(SOME).map(String::as_str);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if names.len() > SOME {
        text += &format!(" and {} more", names.len() - SOME);
    }
    text
}

const SOME: usize = 5;

/// A finding is a sentence, and not cut.
const WIDTH: usize = 2000;

/// The oldest Kubernetes that the chart installs on.
const OLDEST: (u32, u32) = (1, 33);
