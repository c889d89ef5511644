//! Every key provider does the same, and tells what it cannot do.
//!
//! One suite ([`conformance`]) runs for a keyring in a Secret, a keyring in a file, and a Transit key
//! of a real server. The others are about that server: each fault is brought about on it. They need
//! OpenBao: `make test-transit` fetches and names it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod api;
mod bao;
mod cache;
mod conformance;
mod faults;
mod kubernetes;
mod least;
mod login;
mod malformed;
mod metrics;
mod proxy;
mod secrecy;
mod tls;
mod views;
mod world;
