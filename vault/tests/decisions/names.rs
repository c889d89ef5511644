use secretvault_vault::{
    EntryName, FileMode, FilePath, VaultRef,
    names::{MAX_NAME_LEN, NameError},
};

#[test]
fn names_that_are_paths_are_entries_and_files() {
    for name in [
        "a",
        "db/password",
        "ssh/prod/id_ed25519",
        "tls.key",
        ".hidden",
        "a..b",
        "-x",
        "UPPER_lower-1.2",
        "a/kubernetes.io",
        "kubernetes.io.example",
        &"x".repeat(MAX_NAME_LEN),
    ] {
        assert_eq!(name.parse::<EntryName>().unwrap().to_string(), name);
        assert_eq!(name.parse::<FilePath>().unwrap().to_string(), name);
    }
}

#[test]
fn each_other_name_is_refused_for_its_reason() {
    let reason = |error: NameError| match error {
        NameError::Character { .. } => "character",
        NameError::DotSegment { .. } => "dots",
        NameError::Empty => "empty",
        NameError::EmptySegment { .. } => "empty segment",
        NameError::Reserved { .. } => "reserved",
        NameError::TooLong { .. } => "too long",
    };
    let long = "x".repeat(MAX_NAME_LEN + 1);
    for (text, expected) in [
        ("", "empty"),
        ("/", "empty segment"),
        ("/a", "empty segment"),
        ("a/", "empty segment"),
        ("a//b", "empty segment"),
        (".", "dots"),
        ("..", "dots"),
        ("a/../b", "dots"),
        ("a/./b", "dots"),
        ("..data", "dots"),
        ("a/..data", "dots"),
        ("a b", "character"),
        ("a\\b", "character"),
        ("a\0", "character"),
        ("a\n", "character"),
        ("ä", "character"),
        ("a*", "character"),
        ("a=b", "character"),
        ("a,b", "character"),
        ("kubernetes.io", "reserved"),
        ("kubernetes.io/x", "reserved"),
        (&long, "too long"),
    ] {
        assert_eq!(
            reason(text.parse::<EntryName>().unwrap_err()),
            expected,
            "{text:?}"
        );
        assert_eq!(
            reason(text.parse::<FilePath>().unwrap_err()),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn a_refusal_of_a_long_name_stays_short_and_names_the_limit() {
    let message = "ö"
        .repeat(100_000)
        .parse::<EntryName>()
        .unwrap_err()
        .to_string();
    assert!(message.chars().count() < 200, "{message}");
    assert!(message.contains("253"), "{message}");
}

#[test]
fn a_path_names_its_directories_outermost_first() {
    let path: FilePath = "a/b/c".parse().unwrap();
    assert_eq!(path.directories().collect::<Vec<_>>(), ["a", "a/b"]);
}

#[test]
fn modes_are_three_octal_digits_with_or_without_a_zero() {
    for (text, bits) in [("0400", 0o400), ("400", 0o400), ("0000", 0), ("777", 0o777)] {
        assert_eq!(text.parse::<FileMode>().unwrap().bits(), bits);
    }
    for text in [
        "", "0", "44", "4444", "04000", "0o400", "0x1", "0888", "+400", "-400", " 400",
    ] {
        let message = text.parse::<FileMode>().unwrap_err().to_string();
        assert!(message.contains("0400"), "{text:?}: {message}");
    }
    assert_eq!(FileMode::try_from(0o777).unwrap().to_string(), "0777");
    assert_eq!(FileMode::try_from(0o4).unwrap().to_string(), "0004");
    assert!(FileMode::try_from(0o1000).is_err());
    assert_eq!(FileMode::DEFAULT.to_string(), "0444");
}

#[test]
fn a_vault_is_named_with_or_without_its_namespace() {
    let parse = |text: &str| VaultRef::parse("shop", text).map(|vault| vault.to_string());
    assert_eq!(parse("app").unwrap(), "shop/app");
    assert_eq!(parse("platform/shared.v2").unwrap(), "platform/shared.v2");
    for text in [
        "", "/", "a/", "/a", "A", "a/b/c", "a_b", "a b", "-a", "a-", "a..b", "x.y/a",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert!(parse(&"a".repeat(253)).is_ok());
    assert!(parse(&"a".repeat(254)).is_err());
    assert!(parse(&format!("{}/a", "n".repeat(63))).is_ok());
    assert!(parse(&format!("{}/a", "n".repeat(64))).is_err());
}
