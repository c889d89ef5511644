//! `secretvault-operator keyring`: for backups, and for those who bring their own key.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_e2e::{Namespace, root};
use serde_json::Value;

use super::Provider;

/// Runs the program that the image holds.
fn keyring(arguments: &[&str], input: &str) -> Output {
    let program = root().join("target/images/operator/secretvault-operator");
    let mut child = Command::new(program)
        .arg("keyring")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Short enough for the pipe; a command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", complaint(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A new keyring's document.
pub(super) fn generate() -> String {
    succeeded(&keyring(&["generate"], ""))
}

/// A directory that goes when the test ends.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn create(namespace: &Namespace) -> Self {
        let path = std::env::temp_dir().join(namespace.name());
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_exported_key_is_imported_and_exported_again_as_it_was() {
    let first = generate();
    let key = succeeded(&keyring(&["export"], &first));
    let bytes = BASE64_STANDARD.decode(key.trim()).unwrap();
    assert_eq!(bytes.len(), 32);
    let second = succeeded(&keyring(&["import"], &key));
    assert_eq!(succeeded(&keyring(&["export"], &second)), key);
    let id = |document: &str| serde_json::from_str::<Value>(document).unwrap()["id"].clone();
    assert_ne!(id(&first), id(&second), "a keyring of its own");
}

#[test]
fn a_key_that_is_not_32_bytes_in_base64_is_refused_without_being_shown() {
    for length in [0, 16, 31, 33, 64] {
        let key = BASE64_STANDARD.encode(vec![b'k'; length]);
        let output = keyring(&["import"], &key);
        assert!(!output.status.success(), "{length} bytes");
        assert_eq!(output.stdout, b"", "{length} bytes");
        let complaint = complaint(&output);
        assert!(complaint.contains("base64 of 32 bytes"), "{complaint}");
        assert!(length == 0 || !complaint.contains(&key[..8]), "{complaint}");
    }
    let key = BASE64_STANDARD.encode([b'k'; 32]);
    succeeded(&keyring(&["import"], &key));
}

#[test]
fn a_document_that_is_no_keyring_is_not_exported() {
    let right = generate();
    for wrong in [
        "",
        "{}",
        &right
            .replace("\"version\": 1", "\"version\": 2")
            .replace("\"version\":1", "\"version\":2"),
    ] {
        let output = keyring(&["export"], wrong);
        assert!(!output.status.success(), "{wrong:?}");
        assert_eq!(output.stdout, b"");
    }
    succeeded(&keyring(&["export"], &right));
}

#[test]
fn a_keyring_is_written_for_its_owner_alone_and_never_over_a_file() {
    let namespace = Namespace::create("keyring-file");
    let directory = Directory::create(&namespace);
    let (out, key) = (directory.join("keyring"), directory.join("key"));
    succeeded(&keyring(&["generate", "--out", &out], ""));
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(&out).unwrap();
    fs::write(&key, BASE64_STANDARD.encode([b'k'; 32])).unwrap();
    let again = [
        &["generate", "--out", &out][..],
        &["import", "--file", &key, "--out", &out],
    ];
    for arguments in again {
        let output = keyring(arguments, "");
        assert!(!output.status.success(), "{arguments:?}");
        assert!(complaint(&output).contains("exists already"), "{output:?}");
        assert_eq!(fs::read(&out).unwrap(), before);
    }
    let beside = directory.join("beside");
    succeeded(&keyring(&["import", "--file", &key, "--out", &beside], ""));
    assert!(Path::new(&beside).exists());
}

#[test]
fn a_key_of_ones_own_seals_vaults() {
    let namespace = Namespace::create("keyring-own");
    let provider = Provider::over_existing_keyring(&namespace);
    let key = BASE64_STANDARD.encode([b'o'; 32]);
    let document = succeeded(&keyring(&["import"], &key));
    provider.put_keyring(&document);
    provider.apply();
    let status = provider.wait("True", "KeyringReady")["status"].clone();
    let imported: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(status["primaryKeyId"], imported["primary"]);
    let _ = provider.vault().apply(&namespace).expect_success();
    provider.vault().wait_ready(&namespace);
}
