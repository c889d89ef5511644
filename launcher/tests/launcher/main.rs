//! The launcher on the real kernel, through the program itself: as whoever runs the tests, and as
//! root where it is a container's first process.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod fixture;

mod install;

mod process;

mod refusals;

mod values;

mod traces;

mod signals;

mod terminal;

mod changes;

mod first_process;

mod dependencies;
