//! Globs over entry names, and over names of service accounts.
//!
//! `*` stands for any run of characters within a segment, an empty one included. A whole segment
//! `**` stands for any number of segments: none at all in front of or between others (`**/token`
//! matches `token`), at least one at the end (`db/**` is what lies in `db`, not an entry `db`).
//!
//! Matching takes time in the order of pattern plus name within a segment, and of pattern times name in
//! all, whatever the pattern: whoever writes a pod chooses it, and the operator evaluates it. How many
//! are evaluated for one decision is bounded, too: see [`effort`](crate::effort).

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::names::{EntryName, MAX_NAME_LEN, shown};

/// A glob over entry names, such as `db/**`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryPattern(String);

impl EntryPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern as text, if it has a `*`; without one it is the name of an entry.
    pub fn glob(&self) -> Option<&str> {
        Some(self.as_str()).filter(|text| text.contains('*'))
    }

    /// Tells whether the pattern covers an entry.
    pub fn matches(&self, entry: &EntryName) -> bool {
        match self.glob() {
            None => self.0 == entry.as_str(),
            Some(pattern) => segments_match(pattern, entry.as_str()),
        }
    }
}

/// A glob over the name of one object, such as a service account: `web`, `web-*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern(String);

impl NamePattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern as text, if it has a `*`; without one it is a name.
    pub fn glob(&self) -> Option<&str> {
        Some(self.as_str()).filter(|text| text.contains('*'))
    }

    /// Tells whether the pattern covers a name.
    pub fn matches(&self, name: &str) -> bool {
        Segment::of(&self.0).matches(name)
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A character outside the alphabet.
    #[error(
        "pattern {pattern:?} holds {character:?}: only characters of names, and '*', are allowed"
    )]
    Character {
        /// The offending pattern, shortened.
        pattern: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// `**` as a part of a segment.
    #[error("pattern {pattern:?}: '**' must be a whole segment, as in 'db/**'")]
    DoubleStar {
        /// The offending pattern, shortened.
        pattern: String,
    },
    /// Nothing, or a slash too many.
    #[error(
        "pattern {pattern:?} has an empty segment: no '/' at the start, at the end, or twice in a row"
    )]
    EmptySegment {
        /// The offending pattern, shortened.
        pattern: String,
    },
    /// More than [`MAX_NAME_LEN`] characters.
    #[error("pattern {pattern:?} has more than {MAX_NAME_LEN} characters")]
    TooLong {
        /// The offending pattern, shortened.
        pattern: String,
    },
}

/// Matches whole names, segment by segment: "the segments of the pattern so far cover the first j of
/// the name" is bit j.
fn segments_match(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let mut covered: u128 = 1;
    let mut segments = pattern.split('/').peekable();
    while let Some(segment) = segments.next() {
        covered = if segment == "**" {
            let at_least_one = segments.peek().is_none();
            from(covered.trailing_zeros() + u32::from(at_least_one))
        } else {
            one_more(&Segment::of(segment), &parts, covered)
        };
        if covered == 0 {
            return false;
        }
    }
    (covered >> parts.len()) & 1 == 1
}

/// What is covered with one more segment.
fn one_more(segment: &Segment<'_>, parts: &[&str], covered: u128) -> u128 {
    let mut next = 0_u128;
    for (position, part) in parts.iter().enumerate() {
        let here = 1_u128 << position;
        if covered & here != 0 && segment.matches(part) {
            next |= here << 1;
        }
    }
    next
}

/// This bit, and all after it.
fn from(bit: u32) -> u128 {
    u128::MAX.checked_shl(bit).unwrap_or(0)
}

// A name has as many segments as it can, and one position more.
const _: () = assert!(MAX_NAME_LEN.div_ceil(2) < 128);

/// One segment of a pattern, or a pattern of one segment, taken apart at its first and its last `*`.
enum Segment<'a> {
    Glob {
        start: &'a str,
        middle: &'a str,
        end: &'a str,
    },
    Text(&'a str),
}

impl<'a> Segment<'a> {
    fn of(text: &'a str) -> Self {
        let Some((start, rest)) = text.split_once('*') else {
            return Self::Text(text);
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        Self::Glob { start, middle, end }
    }

    /// Each piece between two stars is taken where it comes first: a later place would only leave less
    /// for the next ones.
    fn matches(&self, name: &str) -> bool {
        let (start, middle, end) = match *self {
            Self::Glob { start, middle, end } => (start, middle, end),
            Self::Text(text) => return name == text,
        };
        let inner = name.strip_prefix(start).and_then(|it| it.strip_suffix(end));
        let Some(mut left) = inner else {
            return false;
        };
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            let Some(at) = left.find(piece) else {
                return false;
            };
            left = &left[at + piece.len()..];
        }
        true
    }
}

fn check(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), PatternError> {
    let pattern = || shown(text);
    if text.len() > MAX_NAME_LEN {
        return Err(PatternError::TooLong { pattern: pattern() });
    }
    if let Some(character) = text.chars().find(|c| !allowed(*c) && *c != '*') {
        return Err(PatternError::Character {
            pattern: pattern(),
            character,
        });
    }
    for segment in text.split('/') {
        if segment.is_empty() {
            return Err(PatternError::EmptySegment { pattern: pattern() });
        }
        if segment.contains("**") && segment != "**" {
            return Err(PatternError::DoubleStar { pattern: pattern() });
        }
    }
    Ok(())
}

impl FromStr for EntryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        check(text, |c| c.is_ascii_alphanumeric() || "._-/".contains(c))?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EntryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        check(text, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
