use std::io::{self, Write};
use std::sync::mpsc;

use secretvault_audit::{
    Checkpoint, Expectation, KeyEvent, Name, OwnWords, Record, Report, Seed, Verifier,
};
use serde_json::{Value, json};

use super::memory::Memory;
use super::*;

mod keeping;

struct Said(&'static str);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl OwnWords for Said {}

fn record() -> Record {
    Record::Key(KeyEvent {
        provider: Name::from("default"),
        event: Word("KeyRotated"),
        key_id: None,
        message: (&Said("words")).into(),
    })
}

fn key() -> SigningKey {
    SigningKey::from_seed(&Seed::from([7; 32])).unwrap()
}

fn verified(memory: &Memory, expectation: Expectation) -> Report {
    let mut verifier = Verifier::new(expectation);
    verifier.read("log", memory.text().as_bytes()).unwrap();
    verifier.finish()
}

/// Nothing is wrong with it.
fn is_whole(memory: &Memory) {
    let expectation = Expectation {
        keys: vec![key().public().clone()],
        ..Expectation::default()
    };
    let report = verified(memory, expectation);
    assert_eq!((report.findings, report.foreign), (vec![], 0));
}

fn kinds(memory: &Memory) -> Vec<String> {
    let text = memory.text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["audit"].to_string())
        .map(|kind| kind.trim_matches('"').to_owned())
        .collect()
}

// The clock stands still while a line is written: how soon a busy machine gets to it is not what
// these tests are for.

#[tokio::test(start_paused = true)]
async fn lines_are_chained_and_signed() {
    let memory = Memory::default();
    let audit = memory.audit();
    audit.must(record()).await.unwrap();
    audit.sign_with(key()).await;
    audit.note(record()).await;
    audit.checkpoint().await;
    assert_eq!(
        kinds(&memory),
        ["start", "key", "checkpoint", "key", "checkpoint"]
    );
    is_whole(&memory);
    let signed = audit.signed.borrow().clone().unwrap();
    let last = Checkpoint::parse(signed.as_bytes()).unwrap();
    assert_eq!((&last.chain, last.seq), (&audit.chain, 4));
    audit.checkpoint().await;
    assert_eq!(kinds(&memory).len(), 5, "there is nothing to sign");
}

#[tokio::test(start_paused = true)]
async fn a_start_says_who_writes() {
    let memory = Memory::default();
    memory.audit().must(record()).await.unwrap();
    let text = memory.text();
    let mut start: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    for varying in ["chain", "time"] {
        assert!(start.as_object_mut().unwrap().remove(varying).is_some());
    }
    let expected = json!({
        "v": 1, "seq": 0, "prev": "0".repeat(64), "audit": "start",
        "replica": "secretvault-operator-0", "version": "0.1.0", "onFailure": "refuse",
    });
    assert_eq!(start, expected);
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_a_replica_are_two_chains() {
    let memory = Memory::default();
    for _ in 0..2 {
        let audit = memory.audit();
        audit.sign_with(key()).await;
        audit.must(record()).await.unwrap();
        audit.checkpoint().await;
    }
    is_whole(&memory);
    assert_eq!(verified(&memory, Expectation::default()).chains.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_thousand_lines_there_is_a_checkpoint() {
    let memory = Memory::default();
    let audit = memory.audit();
    audit.sign_with(key()).await;
    for _ in 0..1000 {
        audit.must(record()).await.unwrap();
    }
    assert_eq!(kinds(&memory).last().unwrap(), "checkpoint");
    is_whole(&memory);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_is_refused_and_the_log_says_later_what_it_lacks() {
    let (memory, metrics) = (Memory::default(), AuditMetrics::default());
    let audit = memory.audit_or(OnFailure::Refuse, metrics.clone());
    audit.sign_with(key()).await;
    audit.must(record()).await.unwrap();
    memory.full(true);
    assert_eq!(audit.must(record()).await, Err(Unrecorded::Failed));
    audit.note(record()).await;
    audit.checkpoint().await;
    memory.full(false);
    assert_eq!(audit.must(record()).await, Ok(()));
    audit.checkpoint().await;
    let expected = ["start", "checkpoint", "key", "gap", "key", "checkpoint"];
    assert_eq!(kinds(&memory), expected);
    assert_eq!(memory.records()[1]["lost"], 2);
    assert_eq!(metrics.counts(), [1, 1, 2]);
    is_whole(&memory);
}

#[tokio::test(start_paused = true)]
async fn the_setting_turns_it_round() {
    let (memory, metrics) = (Memory::default(), AuditMetrics::default());
    let audit = memory.audit_or(OnFailure::Release, metrics.clone());
    audit.sign_with(key()).await;
    memory.full(true);
    for _ in 0..3 {
        assert_eq!(audit.must(record()).await, Ok(()));
    }
    memory.full(false);
    // By itself, when the next checkpoint is due.
    audit.checkpoint().await;
    assert_eq!(kinds(&memory), ["start", "checkpoint", "gap", "checkpoint"]);
    assert_eq!(memory.records()[0]["lost"], 3);
    assert_eq!(metrics.counts(), [0, 3, 0]);
    is_whole(&memory);
}

/// Takes nothing until the test lets it.
struct Stuck {
    text: Memory,
    released: mpsc::Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.released.recv();
        self.text.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log that hangs, what it has taken, and what ends that when it is dropped.
fn hanging() -> (Audit, Memory, mpsc::Sender<()>) {
    let (text, (release, released)) = (Memory::default(), mpsc::channel());
    let stuck = Stuck {
        text: text.clone(),
        released,
    };
    let sink = Box::new(Stream::new(stuck));
    let audit = Audit::to(sink, "o", OnFailure::Refuse, AuditMetrics::default()).unwrap();
    (audit, text, release)
}

#[tokio::test]
async fn a_log_that_hangs_holds_nobody_up_for_longer_than_a_moment() {
    let (audit, _text, release) = hanging();
    let both = futures::future::join(audit.must(record()), audit.must(record()));
    assert_eq!(both.await, (Err(Unrecorded::Slow), Err(Unrecorded::Slow)));
    drop(release);
}

/// The first one had its turn, and the other one waited for it.
#[tokio::test]
async fn a_line_that_comes_late_is_not_lost() {
    let (audit, text, release) = hanging();
    let both = futures::future::join(audit.must(record()), audit.must(record()));
    assert_eq!(both.await, (Err(Unrecorded::Slow), Err(Unrecorded::Slow)));
    drop(release);
    assert_eq!(text.lines(2)[0]["lost"], 1);
    assert_eq!(audit.must(record()).await, Ok(()));
    assert_eq!(kinds(&text), ["start", "gap", "key", "key"]);
}

/// Fails in the middle of a line.
struct Torn {
    text: Memory,
    room: usize,
}

impl Write for Torn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            self.room = usize::MAX;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.room -= taken;
        self.text.push(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written to a stream stays there: the part of a line is found, and nothing is missing.
#[tokio::test(start_paused = true)]
async fn after_a_part_of_a_line_the_next_one_begins_on_a_line_of_its_own() {
    let text = Memory::default();
    let torn = Torn {
        text: text.clone(),
        room: 300,
    };
    let sink = Box::new(Stream::new(torn));
    let audit = Audit::to(sink, "o", OnFailure::Refuse, AuditMetrics::default()).unwrap();
    assert_eq!(audit.must(record()).await, Err(Unrecorded::Failed));
    assert_eq!(audit.must(record()).await, Ok(()));
    let report = verified(&text, Expectation::default());
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        ["log:2: the line was cut or changed: it cannot be read"]
    );
}

#[test]
fn debug_shows_the_chain_only() {
    let audit = Memory::default().audit();
    assert_eq!(format!("{audit:?}"), format!("Audit({})", audit.chain));
}
