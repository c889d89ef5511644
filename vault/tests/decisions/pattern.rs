use std::time::{Duration, Instant};

use secretvault_vault::{EntryPattern, NamePattern};

use crate::fixture::entry;

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .parse::<EntryPattern>()
        .unwrap()
        .matches(&entry(name))
}

#[test]
fn a_pattern_covers_what_its_stars_stand_for() {
    for (pattern, covered, not_covered) in [
        ("a", vec!["a"], vec!["b", "aa", "a/a"]),
        ("*", vec!["a", "a.b-c"], vec!["a/b"]),
        ("**", vec!["a", "a/b", "a/b/c"], vec![]),
        ("db/*", vec!["db/a", "db/x"], vec!["db", "db/a/b", "a/db/x"]),
        (
            "db/**",
            vec!["db/a", "db/a/b"],
            vec!["db", "dbx/a", "x/db/a"],
        ),
        (
            "**/token",
            vec!["token", "a/token", "a/b/token"],
            vec!["a/tokens", "token/a", "atoken"],
        ),
        (
            "a/**/z",
            vec!["a/z", "a/b/z", "a/b/c/z"],
            vec!["a", "z", "a/b", "b/a/z"],
        ),
        ("**/**", vec!["a", "a/b"], vec![]),
        ("a/**/**", vec!["a/b", "a/b/c"], vec!["a"]),
        ("*.pem", vec!["a.pem", ".pem"], vec!["a.pem.bak", "a/b.pem"]),
        (
            "a*b*c",
            vec!["abc", "axbxc", "abbcc"],
            vec!["ab", "acb", "a/b/c"],
        ),
        ("*a", vec!["a", "aa", "baa"], vec!["ab"]),
        ("a*", vec!["a", "ab"], vec!["ba", "a/b"]),
        ("*/*", vec!["a/b"], vec!["a", "a/b/c"]),
        ("**/a/*", vec!["a/b", "x/a/b"], vec!["a", "x/a", "a/b/c"]),
    ] {
        for name in covered {
            assert!(matches(pattern, name), "{pattern} covers {name}");
        }
        for name in not_covered {
            assert!(!matches(pattern, name), "{pattern} does not cover {name}");
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for text in [
        "", "/", "a/", "/a", "a//b", "a**", "**a", "a/***", "a b", "a?", "[a]", "a,b",
    ] {
        assert!(text.parse::<EntryPattern>().is_err(), "{text:?}");
    }
    assert!("x".repeat(253).parse::<EntryPattern>().is_ok());
    assert!("x".repeat(254).parse::<EntryPattern>().is_err());
}

#[test]
fn service_accounts_are_matched_as_a_whole() {
    let matches = |pattern: &str, name| pattern.parse::<NamePattern>().unwrap().matches(name);
    assert!(matches("*", "web"));
    assert!(matches("web-*", "web-1"));
    assert!(matches("*.example", "a.b.example"));
    assert!(!matches("web", "web2"));
    assert!(!matches("web-*", "web"));
    for text in ["", "**", "a**b", "A", "a/b", "a_b"] {
        let parsed = text.parse::<NamePattern>();
        assert!(parsed.is_err() || text == "**", "{text:?}");
    }
}

#[test]
fn no_pattern_takes_long() {
    let name = entry(&format!("{}b", "a".repeat(250)));
    let deep = entry("a/".repeat(125).trim_end_matches('/'));
    let start = Instant::now();
    for pattern in [
        "*a*a*a*a*a*a*a*a*c".to_owned(),
        "*a".repeat(120) + "c",
        "a*".repeat(120),
    ] {
        let pattern: EntryPattern = pattern.parse().unwrap();
        for _ in 0..100 {
            pattern.matches(&name);
        }
    }
    let pattern: EntryPattern = format!("{}z", "**/".repeat(80)).parse().unwrap();
    for _ in 0..100 {
        assert!(!pattern.matches(&deep));
    }
    // For a slow machine: one that tries all ways would take centuries.
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}
