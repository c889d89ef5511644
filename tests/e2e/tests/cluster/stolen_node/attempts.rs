//! What was tried, each beside what succeeds with the right credentials.

use secretvault_e2e::Answer;

/// All attempts, judged together.
#[derive(Default)]
pub(crate) struct Attempts {
    rows: Vec<String>,
    wrong: Vec<String>,
}

impl Attempts {
    /// A command that must be refused in one of these words, beside one that must succeed.
    pub(crate) fn refused(&mut self, name: &str, attack: &Answer, says: &[&str], control: &Answer) {
        let refused = !attack.succeeded && says.iter().any(|text| attack.stderr.contains(text));
        let first = attack.stderr.lines().next().unwrap_or_default();
        self.take(name, refused, first);
        if !control.succeeded {
            let wrong = format!("{name}: the control: {}", control.stderr);
            self.wrong.push(wrong);
        }
    }

    /// Anything else, as it came out.
    pub(crate) fn take(&mut self, name: &str, right: bool, outcome: &str) {
        if !right {
            self.wrong.push(format!("{name}: {outcome}"));
        }
        self.rows.push(format!("{name} → {outcome:.160}"));
    }

    /// Prints all of them.
    #[expect(clippy::print_stdout, reason = "the table is what a person reads")]
    pub(crate) fn finish(self) {
        for row in &self.rows {
            println!("  {row}");
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}
