//! Values arrive as they were applied, byte for byte.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_e2e::{Namespace, Pod, Vault};

#[test]
fn every_text_arrives_byte_for_byte() {
    let namespace = Namespace::create("values-text");
    let mut vault = Vault::named("app");
    for (entry, value) in TEXTS {
        vault = vault.text(entry, value);
    }
    vault.store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    for (entry, value) in TEXTS {
        let seen = read(&namespace, &pod, entry);
        assert_eq!(seen, value.as_bytes(), "{entry}");
    }
}

#[test]
fn every_byte_arrives() {
    let namespace = Namespace::create("values-bytes");
    let every: Vec<u8> = (0..=255).collect();
    let values = [
        ("every", every.as_slice()),
        ("nothing", b""),
        ("nul", b"\0"),
    ];
    let mut vault = Vault::named("app");
    for (entry, value) in values {
        vault = vault.binary(entry, &BASE64_STANDARD.encode(value));
    }
    vault = vault.value(
        "publicBinaryData",
        "public",
        BASE64_STANDARD.encode(&every).into(),
    );
    vault.store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    for (entry, value) in values {
        assert_eq!(read(&namespace, &pod, entry), value, "{entry}");
    }
    assert_eq!(read(&namespace, &pod, "public"), every);
}

#[test]
fn the_largest_values_arrive() {
    let namespace = Namespace::create("values-large");
    let text: String = ('!'..='~').cycle().take(MAX_ENTRY).collect();
    let bytes: Vec<u8> = (0..=255).rev().cycle().take(MAX_ENTRY).collect();
    // With client-side apply kubectl would keep a copy in an annotation, which is too small for it.
    for vault in [
        Vault::named("text").text("text", &text),
        Vault::named("bytes").binary("bytes", &BASE64_STANDARD.encode(&bytes)),
    ] {
        let _ = vault.apply_server_side(&namespace).expect_success();
    }
    let pod = Pod::mounting("app", "text, bytes");
    pod.run(&namespace);
    for (entry, value) in [("text", text.as_bytes()), ("bytes", &bytes)] {
        let seen = read(&namespace, &pod, entry);
        assert!(
            seen == value,
            "{entry} differs: {} bytes instead of {}",
            seen.len(),
            value.len()
        );
    }
}

#[test]
fn five_hundred_entries_are_five_hundred_files() {
    let namespace = Namespace::create("values-many");
    let entries: Vec<(String, String)> = (0..500)
        .map(|n| {
            (
                format!("group-{}/entry-{n:03}", n % 7),
                format!("value {n}"),
            )
        })
        .collect();
    let mut vault = Vault::named("app");
    for (entry, value) in &entries {
        vault = vault.text(entry, value);
    }
    vault.store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    let script = "cd /run/secrets/..data && find . -type f | sort | \
                  while read -r f; do echo \"${f#./} $(cat \"$f\")\"; done";
    let seen = namespace.sh("app", script).expect_success();
    let mut expected: Vec<String> = entries
        .iter()
        .map(|(entry, value)| format!("{entry} {value}"))
        .collect();
    expected.sort();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(seen, expected);
}

/// What quoting, trimming, encoding or line handling could spoil.
const TEXTS: [(&str, &str); 14] = [
    ("base64", "aHVudGVyMg=="),
    ("carriage-returns", "a\r\nb\r\n"),
    ("empty", ""),
    ("json", "{\"a\": [1, null]}"),
    ("newline-alone", "\n"),
    ("newline-at-end", "a\n"),
    ("newlines-around", "\n\na\n\n"),
    ("no-newline", "a"),
    ("number", "0012"),
    ("one-byte", "x"),
    ("shell", "$HOME `id` $(id) ${x:-y} \\ ' \""),
    ("spaces-around", " \t a \t "),
    ("unicode", "Zürich ✓ 漢字 🔑 e\u{301}\u{feff}"),
    ("yaml", "a: &x [yes, 0777]\n--- # no comment\n"),
];

/// The limit of one entry.
const MAX_ENTRY: usize = 512 * 1024;

fn read(namespace: &Namespace, pod: &Pod, entry: &str) -> Vec<u8> {
    let script = format!("base64 -w 0 '/run/secrets/{entry}'");
    let encoded = namespace.sh(pod.name(), &script).expect_success();
    BASE64_STANDARD.decode(encoded.trim()).unwrap()
}
