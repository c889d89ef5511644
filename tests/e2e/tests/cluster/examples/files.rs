//! Which files there are, and how they land.

use secretvault_e2e::{eventually, root, run_with};

use super::Example;

#[test]
fn binary_and_files() {
    let example = Example::apply("binary-and-files");
    example.wait_listing(
        "tls",
        &[
            ("der/server.crt", "0:0 r--r--r--"),
            ("der/server.key", "999:999 r--r-----"),
            ("passphrase", "0:0 r--------"),
            ("private/server.key", "101:101 r--------"),
            ("server.crt", "0:0 r--r--r--"),
        ],
    );
    let empty = example.sh("tls", "wc -c < /run/secrets/passphrase");
    assert_eq!(empty.trim(), "0");
    let sum = "057f0a90ef88bff479f3cc5d4793d946d9fd9836ff7e5933ca162ec449439d73";
    example.wait_logged("tls", &format!("{sum}  der/server.key"));
    let pem = example.sh("tls", "cat /run/secrets/private/server.key");
    let convert = "openssl pkey -outform DER | sha256sum";
    let converted = run_with("sh", &["-c", convert], &pem).expect_success();
    assert!(converted.starts_with(sum), "{converted}");
}

#[test]
fn items() {
    let example = Example::apply("items");
    example.wait_listing(
        "app",
        &[
            ("run/list/password", "70:70 r--r-----"),
            ("run/list/smtp/eu/token", "0:0 r--r--r--"),
            ("run/list/smtp/token", "0:0 r--r--r--"),
            ("run/list/ssh/id_ed25519", "0:0 r--------"),
            ("run/secrets/db_password", "999:999 r--------"),
            ("run/secrets/smtp/token", "0:0 r--r--r--"),
        ],
    );
}

#[test]
fn merge() {
    let example = Example::apply("merge");
    example.wait_ready("app");
    let script = "cd /run/secrets && grep . smtp/token log/token db/password region";
    assert_eq!(
        example.sh("app", script),
        "smtp/token:from-shared\nlog/token:from-app\ndb/password:from-app\nregion:from-app\n"
    );
    example.wait_described("app", "vault example-merge/app overrides files of vault");
    example.wait_listing(
        "beside",
        &[
            ("run/secrets/db/password", "0:0 r--r--r--"),
            ("run/secrets/log/token", "0:0 r--r--r--"),
            ("run/secrets/region", "0:0 r--r--r--"),
            ("run/secrets/shared/log/token", "0:0 r--r--r--"),
            ("run/secrets/shared/region", "0:0 r--r--r--"),
            ("run/secrets/shared/smtp/token", "0:0 r--r--r--"),
        ],
    );
    example.wait_described(
        "beside",
        "optional vault example-merge/debug does not exist",
    );
    let later = root().join("examples/merge/later");
    let applied = example.kubectl(&["apply", "-f", later.to_str().unwrap()]);
    let _ = applied.expect_success();
    eventually("the optional vault's file appears", || {
        let read = ["exec", "beside", "--", "cat", "/run/secrets/debug/token"];
        match example.kubectl(&read).into_result()?.as_str() {
            "from-debug" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
}

#[test]
fn path_variables() {
    let example = Example::apply("path-variables");
    for (pod, region) in [("web", "eu"), ("worker", "us")] {
        let key = format!("run/secrets/regions/{region}/key");
        example.wait_listing(
            pod,
            &[
                (&key, "0:0 r--r--r--"),
                ("run/secrets/token", "0:0 r--r--r--"),
            ],
        );
        let read = format!("cat /run/secrets/token /run/secrets/regions/{region}/key");
        let expected = format!("token-of-{pod}key-of-{region}");
        assert_eq!(example.sh(pod, &read), expected);
    }
    let why =
        "${pod.labels['region']} is \"eu..us\" here, which cannot be a part of an entry's name";
    example.wait_described("refused", why);
    let label = ["label", "pod", "refused", "region=eu", "--overwrite"];
    let _ = example.kubectl(&label).expect_success();
    example.wait_ready("refused");
}
