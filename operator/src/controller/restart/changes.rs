//! Which changes of which vaults: what pods are to be made anew for, and what they were.
//!
//! # Format
//! On a pod template, as the annotation `secretvault.dev/restarted-at`: `UID@GENERATION` for each
//! vault, separated by spaces. It says everything that is needed to roll once per change: whoever
//! leads next reads there that it was done.

use std::collections::BTreeMap;
use std::fmt;

/// The generation of each vault, by the vault's UID.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Changes(BTreeMap<String, i64>);

impl Changes {
    /// Reads what a pod template says. Anybody may have written it: what is not understood is not
    /// there.
    pub(super) fn parse(text: &str) -> Self {
        let words = text.split_whitespace().take(MOST);
        let pairs = words.filter_map(|word| {
            let (uid, generation) = word.split_once('@')?;
            Some((uid.to_owned(), generation.parse().ok()?))
        });
        Self(pairs.collect())
    }

    /// One change more.
    pub(super) fn add(&mut self, vault_uid: &str, generation: i64) {
        let known = self.0.entry(vault_uid.to_owned()).or_insert(generation);
        *known = generation.max(*known);
    }

    /// Both together.
    pub(super) fn join(&mut self, other: &Self) {
        for (uid, generation) in &other.0 {
            self.add(uid, *generation);
        }
    }

    /// Whether nothing is in the other that is not in this one, in this generation or a later one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let mut changes = other.0.iter();
        changes.all(|(uid, generation)| self.0.get(uid).is_some_and(|known| known >= generation))
    }

    /// These and what was recorded before, to be recorded: without vaults that are gone, so that it
    /// does not grow for ever.
    pub(super) fn over(&self, recorded: &Self, is_alive: impl Fn(&str) -> bool) -> Self {
        let mut all = self.clone();
        let alive = recorded.0.iter().filter(|(uid, _)| is_alive(uid));
        for (uid, generation) in alive {
            if all.0.len() < MOST || all.0.contains_key(uid) {
                all.add(uid, *generation);
            }
        }
        all
    }

    /// The vaults, by UID.
    pub(super) fn vaults(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (uid, generation)) in self.0.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{uid}@{generation}")?;
        }
        Ok(())
    }
}

/// As many vaults are remembered.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["", "a@1", "a@1 b@22"] {
            assert_eq!(Changes::parse(text).to_string(), text);
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_not_there() {
        let text = "2026-01-01T00:00:00Z a@ @ b@x c@5";
        assert_eq!(Changes::parse(text).to_string(), "c@5");
        let many: String = (0..1000).map(|n| format!("u{n}@1 ")).collect();
        assert_eq!(Changes::parse(&many).0.len(), MOST);
    }

    #[test]
    fn a_later_generation_covers_an_earlier_one_and_no_other_vault() {
        let cases = [
            ("", "", true),
            ("a@2", "", true),
            ("a@2", "a@2", true),
            ("a@3 b@1", "a@2", true),
            ("a@1", "a@2", false),
            ("a@2", "a@2 b@1", false),
            ("", "a@1", false),
        ];
        for (these, others, expected) in cases {
            let covers = Changes::parse(these).covers(&Changes::parse(others));
            assert_eq!(covers, expected, "{these:?} {others:?}");
        }
    }

    #[test]
    fn a_record_keeps_what_is_alive_and_never_goes_back() {
        let recorded = Changes::parse("a@5 b@2 gone@3");
        let wanted = Changes::parse("a@4 c@1");
        let all = wanted.over(&recorded, |uid| uid != "gone");
        assert_eq!(all.to_string(), "a@5 b@2 c@1");
    }

    #[test]
    fn a_record_does_not_grow_for_ever() {
        let many: String = (0..MOST).map(|n| format!("u{n}@1 ")).collect();
        let all = Changes::parse("new@1").over(&Changes::parse(&many), |_| true);
        assert_eq!(all.0.len(), MOST);
        assert!(all.covers(&Changes::parse("new@1")));
    }
}
