use super::*;

/// A keyring file with a key that unwraps only and one that wraps, and their ids.
fn rotated(directory: &Path) -> (PathBuf, String, String) {
    let path = directory.join("keyring");
    generate(&path).unwrap();
    let old = keyring(&path).primary_id().to_string();
    rotate(&path, Timestamp::now()).unwrap();
    let new = keyring(&path).primary_id().to_string();
    (path, old, new)
}

fn keyring(path: &Path) -> Keyring {
    Keyring::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_rotated_file_has_both_keys_and_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old, new) = rotated(directory.path());
    let ids: Vec<String> = keyring(&path).key_ids().map(|id| id.to_string()).collect();
    assert_eq!(ids, [new, old]);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_a_group_reads_stays_so_and_is_for_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ..) = rotated(directory.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    rotate(&path, Timestamp::now()).unwrap();
    assert_eq!(mode(&path), 0o440);
}

#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ..) = rotated(directory.path());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    rotate(&link, Timestamp::now()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(keyring(&path).key_ids().count(), 3);
}

#[test]
fn a_retired_key_is_gone_and_the_primary_one_is_never_retired() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old, new) = rotated(directory.path());
    let before = fs::read(&path).unwrap();
    let refused = [
        (new.as_str(), "it is the primary key"),
        ("0000000000000000", "no such key"),
        ("zz", "16 lower-case hexadecimal digits"),
    ];
    for (id, reason) in refused {
        let error = anyhow::Error::from(retire(&path, id).unwrap_err());
        assert!(format!("{error:#}").contains(reason), "{error:#}");
        assert_eq!(fs::read(&path).unwrap(), before, "{id}");
    }
    retire(&path, &old).unwrap();
    let ids: Vec<String> = keyring(&path).key_ids().map(|id| id.to_string()).collect();
    assert_eq!(ids, [new]);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn what_is_no_keyring_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other");
    fs::write(&path, "{}").unwrap();
    assert!(rotate(&path, Timestamp::now()).is_err());
    assert!(retire(&path, "0000000000000000").is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}

fn generate(out: &Path) -> Result<(), KeyringCommandError> {
    execute(&KeyringCommand::Generate {
        out: Some(out.to_owned()),
    })
}

#[test]
fn a_generated_keyring_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring");
    generate(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(Keyring::parse(&fs::read_to_string(&path).unwrap()).is_ok());
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring");
    generate(&path).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        generate(&path),
        Err(KeyringCommandError::Exists { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn an_imported_key_is_the_primary_one() {
    let directory = tempfile::tempdir().unwrap();
    let (key, out) = (
        directory.path().join("key"),
        directory.path().join("keyring"),
    );
    let brought = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    fs::write(&key, format!("{brought}\n")).unwrap();
    execute(&KeyringCommand::Import {
        file: Some(key),
        out: Some(out.clone()),
    })
    .unwrap();
    let keyring = Keyring::parse(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(keyring.export_primary().as_str(), brought);
}

#[test]
fn a_key_of_another_length_is_refused_without_being_shown() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    fs::write(&key, "c2hvcnQ=").unwrap();
    let error = execute(&KeyringCommand::Import {
        file: Some(key),
        out: None,
    })
    .unwrap_err();
    assert!(!format!("{:#}", anyhow::Error::from(error)).contains("c2hvcnQ"));
}

#[test]
fn more_than_a_keyring_may_hold_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keyring");
    fs::write(&file, " ".repeat(MAX_KEYRING_LEN + 1)).unwrap();
    let error = execute(&KeyringCommand::Export { file: Some(file) }).unwrap_err();
    assert!(matches!(error, KeyringCommandError::TooLong { .. }));
}
