//! Which files there are, and how they land.

use secretvault_e2e::{run_with, together};

use super::{Example, files, listing};

#[test]
fn binary_and_files() {
    let _lock = together();
    let example = Example::apply("binary-and-files");
    let logs = example.logs("tls");
    assert_eq!(
        listing(&logs),
        files(&[
            ("der/server.crt", "0:0 r--r--r--"),
            ("der/server.key", "999:999 r--r-----"),
            ("passphrase", "0:0 r--------"),
            ("private/server.key", "101:101 r--------"),
            ("server.crt", "0:0 r--r--r--"),
        ])
    );
    let empty = example.sh("tls", "wc -c < /run/secrets/passphrase");
    assert_eq!(empty.trim(), "0");
    let sum = "057f0a90ef88bff479f3cc5d4793d946d9fd9836ff7e5933ca162ec449439d73";
    assert!(logs.contains(&format!("{sum}  der/server.key")), "{logs}");
    let pem = example.sh("tls", "cat /run/secrets/private/server.key");
    let convert = "openssl pkey -outform DER | sha256sum";
    let converted = run_with("sh", &["-c", convert], &pem).expect_success();
    assert!(converted.starts_with(sum), "{converted}");
}

#[test]
fn items() {
    let _lock = together();
    let example = Example::apply("items");
    assert_eq!(
        listing(&example.logs("app")),
        files(&[
            ("run/list/password", "70:70 r--r-----"),
            ("run/list/smtp/eu/token", "0:0 r--r--r--"),
            ("run/list/smtp/token", "0:0 r--r--r--"),
            ("run/list/ssh/id_ed25519", "0:0 r--------"),
            ("run/secrets/db_password", "999:999 r--------"),
            ("run/secrets/smtp/token", "0:0 r--r--r--"),
        ])
    );
}

#[test]
fn merge() {
    let _lock = together();
    let example = Example::apply("merge");
    example.wait_ready("app");
    let script = "cd /run/secrets && grep . smtp/token log/token db/password region";
    assert_eq!(
        example.sh("app", script),
        "smtp/token:from-shared\nlog/token:from-app\ndb/password:from-app\nregion:from-app\n"
    );
}
