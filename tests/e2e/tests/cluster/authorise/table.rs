//! A table of attacks, each beside its control.
//!
//! An answer is judged by its bytes: which entries' key, envelope or value is in it.

use std::collections::{BTreeMap, BTreeSet};

use secretvault_delivery::v1::file::Content;
use secretvault_delivery::v1::{File, Grant, Reason, Volume};
use secretvault_e2e::eventually;
use serde_json::Value;
use tonic::Code;

use crate::attacker::{Operator, Outcome};

/// One call.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) authorization: Vec<String>,
    pub(crate) volume: Volume,
}

impl Ask {
    /// The same call with other `authorization` headers.
    pub(crate) fn authorized(mut self, authorization: &[String]) -> Self {
        self.authorization = authorization.to_vec();
        self
    }

    /// The same call with a changed volume.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Volume)) -> Self {
        change(&mut self.volume);
        self
    }
}

/// How an attack must be refused: by one of these, whose text holds this.
pub(crate) enum Refusal {
    Denied(&'static [(Reason, &'static str)]),
    Rejected(Code, &'static str),
}

impl Refusal {
    fn fits(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Denied(expected), Outcome::Denied(reason, message)) => expected
                .iter()
                .any(|(wanted, text)| reason == wanted && message.contains(text)),
            (Self::Rejected(wanted, text), Outcome::Rejected(code, message)) => {
                code == wanted && message.contains(text)
            }
            _ => false,
        }
    }
}

/// All that could be released: by entry, the bytes that would give it away.
pub(crate) struct Treasure(BTreeMap<String, Vec<Vec<u8>>>);

impl Treasure {
    /// What a pod gets that may have everything.
    pub(crate) fn of(operator: &Operator, owner: &Ask) -> Self {
        let grant = eventually("the operator has heard of the vault", || {
            let outcome = operator.ask(&owner.authorization, &owner.volume).outcome;
            outcome.granted()
        });
        Self::of_grant(&grant)
    }

    fn of_grant(grant: &Grant) -> Self {
        let entries = grant.files.iter();
        let entries = entries.map(|file| (file.entry.clone(), marks(file)));
        Self(entries.collect())
    }

    /// Nothing yet.
    pub(crate) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds what was granted of a vault, each entry below the vault's name.
    pub(crate) fn add(&mut self, vault: &str, grant: &Grant) {
        for file in &grant.files {
            let entry = self.0.entry(format!("{vault}/{}", file.entry));
            entry.or_default().extend(marks(file));
        }
    }

    /// Adds the envelopes of a stored vault, likewise.
    pub(crate) fn add_envelopes(&mut self, vault: &str, stored: &Value) {
        let sealed = stored["spec"]["data"].as_object();
        for (entry, envelope) in sealed.expect("sealed entries") {
            let envelope = envelope.as_str().expect("an envelope");
            let entry = self.0.entry(format!("{vault}/{entry}"));
            entry.or_default().push(envelope.into());
        }
    }

    /// The entries of which anything is in these bytes.
    pub(crate) fn found_in(&self, raw: &[u8]) -> BTreeSet<&str> {
        // By their first bytes: one look at each place, however much there is to be found.
        let mut beginning_with: BTreeMap<u8, Vec<(&str, &[u8])>> = BTreeMap::new();
        for (entry, marks) in &self.0 {
            for mark in marks {
                let first = *mark.first().expect("a mark is not empty");
                let marks = beginning_with.entry(first).or_default();
                marks.push((entry, mark));
            }
        }
        let mut found = BTreeSet::new();
        for (at, first) in raw.iter().enumerate() {
            for (entry, mark) in beginning_with.get(first).into_iter().flatten() {
                if raw[at..].starts_with(mark) {
                    found.insert(*entry);
                }
            }
        }
        found
    }

    /// The entries' names.
    pub(crate) fn entries(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The bytes that would give entries away.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &[u8]> {
        self.0.values().flatten().map(Vec::as_slice)
    }
}

fn marks(file: &File) -> Vec<Vec<u8>> {
    match &file.content {
        Some(Content::Sealed(sealed)) => {
            vec![sealed.key.clone(), sealed.envelope.clone().into_bytes()]
        }
        Some(Content::Public(value)) => vec![value.clone()],
        // The content of an earlier file, whose marks are among them.
        Some(Content::SameAs(_)) | None => Vec::new(),
    }
}

/// Runs attacks and controls, and judges them together, so that one failure hides no other.
pub(crate) struct Table<'a> {
    operator: &'a Operator,
    treasure: &'a Treasure,
    rows: Vec<String>,
    wrong: Vec<String>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(operator: &'a Operator, treasure: &'a Treasure) -> Self {
        Self {
            operator,
            treasure,
            rows: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// An attack that must be refused, beside a control that must release exactly these entries.
    pub(crate) fn refuses(
        &mut self,
        name: &str,
        attack: &Ask,
        refusal: &Refusal,
        control: &Ask,
        released: &[&str],
    ) {
        let (outcome, leaked) = self.ask(attack);
        if !refusal.fits(&outcome) || !leaked.is_empty() {
            self.wrong(name, &outcome, &leaked);
        }
        self.rows.push(format!("{name} → {outcome}"));
        self.releases(&format!("{name}: control"), control, released);
    }

    /// A call that must release exactly these entries.
    pub(crate) fn releases(&mut self, name: &str, ask: &Ask, expected: &[&str]) {
        let (outcome, released) = self.ask(ask);
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        if !matches!(outcome, Outcome::Granted(_)) || released != expected {
            self.wrong(name, &outcome, &released);
        }
        self.rows.push(format!("{name} → {outcome}: {released:?}"));
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the table is what a person reads")]
    pub(crate) fn finish(self) {
        for row in &self.rows {
            println!("  {row}");
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }

    fn ask(&self, ask: &Ask) -> (Outcome, BTreeSet<&'a str>) {
        let answer = self.operator.ask(&ask.authorization, &ask.volume);
        (answer.outcome, self.treasure.found_in(&answer.raw))
    }

    fn wrong(&mut self, name: &str, outcome: &Outcome, released: &BTreeSet<&str>) {
        let wrong = format!("{name} → {outcome}, with {released:?} in the answer's bytes");
        self.wrong.push(wrong);
    }
}

/// The table itself can fail.
mod proof {
    use secretvault_e2e::{Namespace, Vault};

    use super::{Reason, Refusal, Table, Treasure};
    use crate::authorise::scene::{Bystander, Scene};

    fn attack(granted: bool, refusal: &Refusal) {
        let namespace = Namespace::create("proof");
        let vault = Vault::named("app").text("password", "hunter2");
        vault.store(&namespace);
        let scene = Scene::new();
        let pod = Bystander::create(&namespace, "web", "web");
        let control = scene.asks(&pod, "app", "");
        let treasure = Treasure::of(&scene.operator, &control);
        let mut table = Table::new(&scene.operator, &treasure);
        let missing = scene.asks(&pod, "none", "");
        let attack = if granted { &control } else { &missing };
        table.refuses("attack", attack, refusal, &control, &["password"]);
        table.finish();
    }

    #[test]
    #[should_panic = "attack → granted, 1 files, with {\"password\"} in the answer's bytes"]
    fn a_table_notices_an_attack_that_succeeds() {
        attack(true, &Refusal::Denied(&[(Reason::Forbidden, "")]));
    }

    #[test]
    #[should_panic = "attack → NotFound: vault"]
    fn a_table_notices_an_attack_that_is_refused_for_another_reason() {
        attack(false, &Refusal::Denied(&[(Reason::Forbidden, "")]));
    }
}
