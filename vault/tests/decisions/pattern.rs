use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*};
use secretvault_vault::{EntryName, EntryPattern, NamePattern};

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

/// What a pattern covers, found by going back to the last star at each byte that differs.
mod stepwise {
    pub(super) fn matches(pattern: &str, name: &str) -> bool {
        let split = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<String>>();
        segments_match(&split(pattern), &split(name))
    }

    fn segments_match(pattern: &[String], name: &[String]) -> bool {
        let mut covered = vec![false; name.len() + 1];
        covered[0] = true;
        for (position, segment) in pattern.iter().enumerate() {
            let mut next = vec![false; name.len() + 1];
            if segment == "**" {
                let at_least_one = position + 1 == pattern.len();
                let mut reached = false;
                for (next, covered) in next.iter_mut().zip(covered) {
                    *next = reached || (covered && !at_least_one);
                    reached |= covered;
                }
            } else {
                for (j, part) in name.iter().enumerate() {
                    next[j + 1] = covered[j] && segment_matches(segment, part);
                }
            }
            covered = next;
        }
        covered[name.len()]
    }

    pub(super) fn segment_matches(pattern: &str, name: &str) -> bool {
        let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                last_star = Some((p, n));
                p += 1;
            } else if pattern.get(p) == Some(&name[n]) {
                p += 1;
                n += 1;
            } else if let Some((star, taken)) = last_star {
                last_star = Some((star, taken + 1));
                p = star + 1;
                n = taken + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

fn a_segment() -> impl Strategy<Value = String> {
    let whole = |text: &str| Just(text.to_owned());
    prop_oneof![
        4 => "[*]?([ab]{1,2}[*]){0,3}[ab]{1,2}[*]?",
        1 => whole("*"),
        1 => whole("**"),
    ]
}

fn a_pattern() -> impl Strategy<Value = EntryPattern> {
    let text = vec(a_segment(), 1..6).prop_map(|segments| segments.join("/"));
    text.prop_map(|text| text.parse().unwrap())
}

fn a_name() -> impl Strategy<Value = EntryName> {
    let text = vec("[ab]{1,8}", 1..6).prop_map(|segments| segments.join("/"));
    text.prop_map(|text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_192))]

    #[test]
    fn a_pattern_covers_what_it_covers_step_by_step(pattern in a_pattern(), name in a_name()) {
        let expected = stepwise::matches(pattern.as_str(), name.as_str());
        prop_assert_eq!(pattern.matches(&name), expected);
    }

    #[test]
    fn a_pattern_of_accounts_covers_what_it_covers_step_by_step(
        pattern in a_segment(),
        name in "[ab]{1,12}",
    ) {
        let expected = stepwise::segment_matches(&pattern, &name);
        prop_assert_eq!(pattern.parse::<NamePattern>().unwrap().matches(&name), expected);
    }
}

#[test]
fn the_longest_names_are_covered_to_their_end() {
    let segments = |segment: &str, count| vec![segment; count].join("/");
    let longest = segments("a", 127);
    assert_eq!(longest.len(), 253);
    for pattern in [&*longest, &*segments("*", 127), "**", "a/**/a"] {
        assert!(matches(pattern, &longest), "{pattern}");
    }
    for pattern in [segments("*", 126), segments("a", 126) + "b"] {
        assert!(!matches(&pattern, &longest), "{pattern}");
    }
    let below = segments("a", 125) + "/**";
    assert!(matches(&below, &longest));
    assert!(!matches(&below, &segments("a", 125)));
}
