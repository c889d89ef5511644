//! Globs over entry names, and over names of service accounts.
//!
//! `*` stands for any run of characters within a segment, an empty one included. A whole segment
//! `**` stands for any number of segments: none at all in front of or between others (`**/token`
//! matches `token`), at least one at the end (`db/**` is what lies in `db`, not an entry `db`).
//!
//! Matching takes time in the order of pattern times name, whatever the pattern: whoever writes a
//! pod chooses it, and the operator evaluates it.

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

    /// Tells whether the pattern covers an entry.
    pub fn matches(&self, entry: &EntryName) -> bool {
        let pattern: Vec<&str> = self.0.split('/').collect();
        let name: Vec<&str> = entry.as_str().split('/').collect();
        segments_match(&pattern, &name)
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

    /// Tells whether the pattern covers a name.
    pub fn matches(&self, name: &str) -> bool {
        segment_matches(&self.0, name)
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

/// Matches whole names, segment by segment, row by row of the table "the first i segments of the
/// pattern cover the first j of the name".
fn segments_match(pattern: &[&str], name: &[&str]) -> bool {
    let mut covered = vec![false; name.len() + 1];
    covered[0] = true;
    for (position, segment) in pattern.iter().enumerate() {
        let mut next = vec![false; name.len() + 1];
        if *segment == "**" {
            let at_least_one = position + 1 == pattern.len();
            let mut reached = false;
            for j in 0..=name.len() {
                next[j] = if at_least_one {
                    reached
                } else {
                    reached || covered[j]
                };
                reached |= covered[j];
            }
        } else {
            for (j, part) in name.iter().enumerate() {
                next[j + 1] = covered[j] && segment_matches(segment, part);
            }
        }
        covered = next;
    }
    covered[name.len()]
}

/// Matches one segment: at each `*` remembers where to go on from, and never needs more than the
/// last of these places.
fn segment_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            last_star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            p += 1;
            n += 1;
        } else if let Some((star, taken)) = last_star {
            last_star = Some((star, taken + 1));
            p = star + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
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
