//! How much one decision compares.
//!
//! Patterns and names are chosen by whoever writes a vault or a pod, and one thread compares them while
//! others wait. What has no `*` is looked up as text and costs nothing worth counting. A pattern with
//! one may be tried on every name: that is the product of their *weights*, and it is bounded, as by
//! [`MAX_EFFORT`], before anything is compared. A vault beyond it is refused by admission, and by the
//! plan if it was stored before.

use crate::names::MAX_NAME_LEN;

/// The most effort for one vault: some milliseconds for patterns as people write them, and a fifth of a
/// second for the worst that there are (a hundred segments, with a `*` in each). Generous vaults fit: 500 entries of 40 characters under 64 rules with 5 patterns of 10 each take 138
/// million.
pub const MAX_EFFORT: usize = 150_000_000;

/// The most effort for all vaults of one volume.
pub const MAX_EFFORT_OF_A_VOLUME: usize = 2 * MAX_EFFORT;

/// The most effort for one change of a vault by somebody with rules: who replaces all entries deletes as
/// many as are written, and each may have a name and a path.
pub(crate) const MAX_EFFORT_OF_A_CHANGE: usize = 4 * MAX_EFFORT;

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
