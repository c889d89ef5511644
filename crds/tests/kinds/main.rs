//! The schemas' rules, as the API server would apply them, and what is made of accepted objects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "`apply(json!(…))` reads as prose"
)]

mod access;
mod editors;
mod entries;
mod files;
mod fixture;
mod generated;
mod immutable;
mod key_provider;
mod parse;
mod schema;
mod secrecy;
