//! Whatever becomes of a log is found: removed, changed, reordered, cut lines, and a lost end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod log;

mod kept;
mod properties;
mod tampering;
