//! How much one decision compares.
//!
//! Patterns and names are chosen by whoever writes a vault or a pod, and one thread compares them while
//! others wait. What has no `*` is looked up as text and costs nothing worth counting. A pattern with
//! one may be tried on every name: that is the product of their *weights*, and it is bounded by
//! [`MAX_EFFORT`] before anything is compared. A vault beyond it is refused by admission, and by the
//! plan if it was stored before.

use crate::names::MAX_NAME_LEN;

/// The most effort of one decision: what takes well below a tenth of a second, whatever the patterns.
/// Generous vaults fit: 500 entries of 40 characters under 64 rules with 5 patterns of 10 each take 138
/// million.
pub const MAX_EFFORT: usize = 150_000_000;

/// The weight of patterns, or of names: their bytes, and something for each, for many short ones take
/// time, too.
pub fn weight<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts.into_iter().map(|text| text.len() + EACH).sum()
}

/// What it takes to try all the patterns on all the names, of which these are the weights.
pub fn effort(patterns: usize, names: usize) -> usize {
    patterns.saturating_mul(names)
}

/// The weight of the longest name.
pub(crate) const LONGEST: usize = MAX_NAME_LEN + EACH;

const EACH: usize = 8;
