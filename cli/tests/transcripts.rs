//! What a user types, and what is answered: each file in `transcripts/` is one session in an empty
//! directory, or in a copy of the directory `.in` beside it. `TRYCMD=overwrite` writes them anew,
//! and `transcripts/redact.py` takes out what differs each time.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{env, path::Path};

#[test]
fn every_command_answers_as_its_transcript_says() {
    play("tests/transcripts/*.trycmd");
}

#[test]
#[ignore = "needs root: make test"]
fn a_command_runs_as_its_transcript_says() {
    play("tests/transcripts/run/*.trycmd");
}

fn play(sessions: &str) {
    let secretvault = Path::new(env!("CARGO_BIN_EXE_secretvault"));
    let mut path = secretvault.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    trycmd::TestCases::new()
        .register_bin("sh", Path::new("/bin/sh"))
        .register_bin("secretvault", secretvault)
        // A pipe needs a shell, and a shell finds its commands by the path.
        .env("PATH", path.to_str().unwrap())
        .env("SECRETVAULT_STORE", "vaults")
        .env("SECRETVAULT_KEYRING", "keyring")
        .env("SECRETVAULT_NAMESPACE", "default")
        // Nothing of whoever runs the tests is read, or written to.
        .env("HOME", "/nonexistent")
        .env("XDG_DATA_HOME", "")
        .env("COLUMNS", "100")
        .case(sessions);
}
