//! What was answered, searched for both values.

use std::collections::BTreeSet;

use secretvault_e2e::Answer;

use crate::canary::{Canary, Scanner};

/// All answers.
pub(super) struct Answers {
    scanner: Scanner,
    rows: Vec<String>,
    wrong: Vec<String>,
}

impl Answers {
    pub(super) fn searched_for(private: &str, public: &str) -> Self {
        let canaries = [Canary::text(PRIVATE, private), Canary::text(PUBLIC, public)];
        Self {
            scanner: Scanner::for_all(&canaries),
            rows: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// An answer that must hold the public value: so it is of the vault, and the search sees it.
    pub(super) fn with_public(&mut self, name: &str, answer: &Answer) {
        let found = self.take(name, answer);
        if !found.contains(PUBLIC) {
            let wrong = format!(
                "{name}: the public value is not in {}{}",
                answer.stdout, answer.stderr
            );
            self.wrong.push(wrong);
        }
    }

    /// Any other answer, which must say this.
    pub(super) fn that_says(&mut self, name: &str, text: &str, answer: &Answer) {
        self.take(name, answer);
        if !answer.stdout.contains(text) && !answer.stderr.contains(text) {
            let wrong = format!("{name}: no {text:?} in {}{}", answer.stdout, answer.stderr);
            self.wrong.push(wrong);
        }
    }

    /// Bytes, however they came.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8], says: &str) {
        let answer = Answer {
            succeeded: true,
            stdout: String::from_utf8_lossy(bytes).into_owned(),
            stderr: String::new(),
        };
        self.that_says(name, says, &answer);
        self.search(name, bytes);
    }

    /// Prints what was asked, and fails if anything was wrong.
    #[expect(clippy::print_stdout, reason = "what was tried is what a person reads")]
    pub(super) fn judge(self) {
        for row in &self.rows {
            println!("  {row}");
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }

    fn take(&mut self, name: &str, answer: &Answer) -> BTreeSet<String> {
        let said = format!("{}\n{}", answer.stdout, answer.stderr);
        let found = self.search(name, said.as_bytes());
        let outcome = if answer.succeeded {
            "answered"
        } else {
            "refused"
        };
        self.rows
            .push(format!("{name}: {outcome}, {} bytes", said.len()));
        found
    }

    fn search(&mut self, name: &str, bytes: &[u8]) -> BTreeSet<String> {
        let found = self.scanner.search(bytes);
        let found: BTreeSet<String> = found.into_iter().map(|(canary, _)| canary).collect();
        if found.contains(PRIVATE) {
            self.wrong.push(format!("the private value is in {name}"));
        }
        found
    }
}

const PRIVATE: &str = "the private value";
const PUBLIC: &str = "the public value";
