//! What a line may hold in words: names, words of the program, and its refusals. A value is none of
//! these, so that there is no way to put one into a line by mistake.

use std::fmt::Display;

use serde::Serialize;

/// A word of the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Word(pub &'static str);

/// A name that somebody else chose, cut to what a name can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.chars().take(MAX_NAME).collect())
    }
}

/// The path of a file in a volume, cut to what a path can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FilePath(String);

impl From<&str> for FilePath {
    fn from(text: &str) -> Self {
        Self(text.chars().take(MAX_PATH).collect())
    }
}

/// Errors whose text holds names and the program's own words, and never a value, key or token.
pub trait OwnWords: Display {}

/// The text of one of the program's own refusals, and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(String);

impl<T: OwnWords> From<&T> for Words {
    fn from(error: &T) -> Self {
        let mut text = error.to_string();
        text.truncate(text.floor_char_boundary(MAX_WORDS));
        Self(text)
    }
}

/// The longest name in Kubernetes.
const MAX_NAME: usize = 253;

/// The longest path in Linux.
const MAX_PATH: usize = 4096;

/// Longer than any of our refusals.
const MAX_WORDS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_choose_is_cut() {
        let name = Name::from("ä".repeat(10_000).as_str());
        assert_eq!(name.0.chars().count(), MAX_NAME);
    }

    #[test]
    fn a_refusal_is_cut_between_characters() {
        struct Long;
        impl Display for Long {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&"ä".repeat(MAX_WORDS))
            }
        }
        impl OwnWords for Long {}
        assert_eq!(Words::from(&Long).0.len(), MAX_WORDS);
    }
}
