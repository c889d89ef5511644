//! `secretvault run` and live update on the real kernel, through the program itself: as an ordinary
//! user, and as root where root is different.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests"
)]

mod machine;

mod files;

mod process;

mod kernel;

mod traces;

mod update;

mod hostile;
