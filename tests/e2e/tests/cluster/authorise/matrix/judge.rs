//! Compares what came of the cells with what should have, and prints both as a table.

use std::collections::BTreeSet;

use secretvault_delivery::v1::Reason;
use tonic::Code;

use super::axes::{Agent, Cell, Place, PodToken, Rule};
use super::expected;
use crate::attacker::Outcome;

/// One cell, and what came of it.
pub(super) struct Row {
    pub(super) cell: Cell,
    pub(super) outcome: Outcome,
    /// The entries of any vault of which something is in the answer's bytes.
    pub(super) found: BTreeSet<String>,
    /// What may be in them, if the cell is a release.
    pub(super) released: String,
}

/// What one replica answered.
#[derive(Default)]
pub(super) struct Judge {
    letters: Vec<char>,
    controls: Vec<String>,
    wrong: Vec<String>,
}

impl Judge {
    /// Compares a cell.
    pub(super) fn take(&mut self, row: Row) {
        let letter = letter(&row.outcome);
        let expected = expected::letter(row.cell);
        let allowed = if expected == '+' {
            BTreeSet::from([row.released])
        } else {
            BTreeSet::new()
        };
        if !is(letter, expected) || row.found != allowed {
            self.wrong.push(format!(
                "{:?}: {letter} and not {expected}: {}, with {:?} in the answer's bytes",
                row.cell, row.outcome, row.found
            ));
        }
        self.letters.push(letter);
    }

    /// Takes a call that must be granted, with exactly this in its bytes.
    pub(super) fn control(
        &mut self,
        name: &str,
        outcome: &Outcome,
        found: &BTreeSet<String>,
        released: &BTreeSet<String>,
    ) {
        if letter(outcome) != '+' || found != released {
            let wrong = format!("control {name}: {outcome}, with {found:?}");
            self.wrong.push(wrong);
        }
        self.controls.push(format!("{name} → {outcome}: {found:?}"));
    }

    /// What is not as it should be.
    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the table is what a person reads")]
    pub(super) fn print(&self, replica: usize) {
        println!(
            "  replica {replica}, {} cells; rules in the order:",
            self.letters.len()
        );
        println!("  {}", Rule::ALL.map(Rule::vault).join(", "));
        let heads = ["vault at home", "elsewhere", "missing", "missing elsewhere"];
        let heads: Vec<String> = heads.iter().map(|it| format!("{it:<18}")).collect();
        println!("  {:<20} {:<18} {}", "pod's token", "agent", heads.concat());
        let width = Place::ALL.len() * Rule::ALL.len();
        let mut rows = self.letters.chunks(width);
        for token in PodToken::ALL {
            for agent in Agent::ALL {
                let letters = rows.next().unwrap_or_default().chunks(Rule::ALL.len());
                let groups = letters.map(|group| {
                    let letters: Vec<String> = group.iter().map(char::to_string).collect();
                    format!("{:<18}", letters.join(" "))
                });
                let groups: String = groups.collect();
                println!("  {:<20} {:<18} {groups}", token.name(), agent.name());
            }
        }
        for control in &self.controls {
            println!("  {control}");
        }
    }
}

/// Whether a letter is the expected one. Of a pod that is gone, the API server may know the token for a
/// while longer than the pod.
fn is(letter: char, expected: char) -> bool {
    match expected {
        'G' => matches!(letter, 'T' | 'X'),
        expected => letter == expected,
    }
}

fn letter(outcome: &Outcome) -> char {
    match outcome {
        Outcome::Granted(_) => '+',
        Outcome::Denied(Reason::Forbidden, _) => 'F',
        Outcome::Denied(Reason::NotFound, _) => 'N',
        Outcome::Denied(Reason::TokenRejected, _) => 'T',
        Outcome::Denied(Reason::PodMismatch, message) if message.contains("agent's node") => 'P',
        Outcome::Denied(Reason::PodMismatch, message) if message.contains("any more") => 'X',
        Outcome::Rejected(Code::Unauthenticated, _) => 'U',
        Outcome::Rejected(Code::PermissionDenied, _) => 'D',
        Outcome::Denied(..) | Outcome::Rejected(..) => '?',
    }
}

/// The judge itself can fail.
mod proof {
    use super::{BTreeSet, Cell, Code, Judge, Outcome, Reason, Row, expected};

    /// An answer that has a cell's letter.
    fn outcome(letter: char) -> Outcome {
        let denied = |reason, message: &str| Outcome::Denied(reason, message.to_owned());
        match letter {
            '+' => Outcome::Granted(secretvault_delivery::v1::Grant::default()),
            'F' => denied(Reason::Forbidden, ""),
            'N' => denied(Reason::NotFound, ""),
            'T' | 'G' => denied(Reason::TokenRejected, ""),
            'P' => denied(Reason::PodMismatch, "the pod is not on the agent's node"),
            'U' => Outcome::Rejected(Code::Unauthenticated, String::new()),
            'D' => Outcome::Rejected(Code::PermissionDenied, String::new()),
            other => panic!("no letter: {other}"),
        }
    }

    fn row(cell: Cell, letter: char) -> Row {
        let found = if letter == '+' { vec![ENTRY] } else { vec![] };
        Row {
            cell,
            outcome: outcome(letter),
            found: found.into_iter().map(str::to_owned).collect(),
            released: ENTRY.to_owned(),
        }
    }

    /// How many cells are wrong where these letters are the answers.
    fn wrong(letters: impl Fn(Cell) -> char) -> usize {
        let mut judge = Judge::default();
        for cell in Cell::all() {
            judge.take(row(cell, letters(cell)));
        }
        judge.wrong().len()
    }

    #[test]
    fn there_are_as_many_cells_as_there_should_be_and_three_releases_among_them() {
        assert_eq!(Cell::all().count(), 8 * 4 * 6 * 4);
        let released = Cell::all().filter(|cell| expected::letter(*cell) == '+');
        assert_eq!(released.count(), 3);
    }

    #[test]
    fn what_is_as_the_table_says_is_right() {
        assert_eq!(wrong(expected::letter), 0);
    }

    #[test]
    fn a_server_that_denies_everything_is_wrong_and_so_is_one_that_releases_everything() {
        assert!(wrong(|_| 'F') > 3);
        assert_eq!(wrong(|_| '+'), Cell::all().count() - 3);
        let denies = |cell| match expected::letter(cell) {
            '+' => 'F',
            other => other,
        };
        assert_eq!(wrong(denies), 3);
    }

    #[test]
    fn one_wrong_cell_is_noticed_wherever_it_is() {
        for odd in Cell::all() {
            let other = match expected::letter(odd) {
                '+' => 'F',
                _ => '+',
            };
            let letters = |cell| match cell == odd {
                true => other,
                false => expected::letter(cell),
            };
            assert_eq!(wrong(letters), 1, "{odd:?}");
        }
    }

    #[test]
    fn a_refusal_that_holds_a_key_is_noticed_and_so_is_a_grant_of_more() {
        let mut judge = Judge::default();
        for cell in Cell::all() {
            let mut row = row(cell, expected::letter(cell));
            row.found.insert("another".to_owned());
            judge.take(row);
        }
        assert_eq!(judge.wrong().len(), Cell::all().count());
        let mut judge = Judge::default();
        let none = BTreeSet::new();
        judge.control("control", &outcome('F'), &none, &none);
        assert_eq!(judge.wrong().len(), 1);
    }

    const ENTRY: &str = "the entry";
}
