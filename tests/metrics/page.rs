//! What docs/metrics.md says that there is, and what a process shows. Part of the tests of each
//! process, and of the tests on the cluster.

#![allow(dead_code, reason = "several tests include it: each uses a part")]

use std::collections::{BTreeMap, BTreeSet};

/// Families by their name.
pub(crate) type Families = BTreeMap<String, Family>;

/// A family of metrics: what it counts with, and what its labels can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// The page itself.
pub(crate) const PAGE: &str = include_str!("../../docs/metrics.md");

/// The families that the page has under a heading.
pub(crate) fn documented(heading: &str) -> Families {
    let heading = format!("\n## {heading}\n");
    let (_, section) = PAGE.split_once(&heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut families = Families::new();
    let mut named = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = quoted(cells[1]);
        match cells.len() {
            // The metric, its kind, its labels, what it says.
            6 => {
                for label in quoted(cells[3]) {
                    assert!(named.insert((names[0].clone(), label)));
                }
                let family = Family {
                    kind: cells[2].to_owned(),
                    labels: BTreeMap::new(),
                };
                assert!(families.insert(names[0].clone(), family).is_none());
            }
            // Metrics, a label of theirs, its values.
            5 => {
                let label = quoted(cells[2]).remove(0);
                for name in names {
                    assert!(named.remove(&(name.clone(), label.clone())), "{row}");
                    let values = quoted(cells[3]).into_iter().collect();
                    let family = families.get_mut(&name).unwrap();
                    family.labels.insert(label.clone(), values);
                }
            }
            _ => panic!("{row}"),
        }
    }
    assert_eq!(named, BTreeSet::new(), "no values are told of these labels");
    assert!(families.len() > 5);
    families
}

/// The names of the alerts that the page explains.
pub(crate) fn alerts() -> BTreeSet<String> {
    let (_, section) = PAGE.split_once("\n## What to be woken for\n").unwrap();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<String> = rows.map(|row| quoted(row).remove(0)).collect();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "{names:?}");
    set
}

/// The families of a scrape.
pub(crate) fn shown(text: &str) -> Families {
    let mut families = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            name.clone_into(&mut current);
            let family = families.entry(current.clone()).or_default();
            kind.clone_into(&mut family.kind);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&current), "{line}");
            let family = families.get_mut(&current).unwrap();
            for (label, value) in labels(line) {
                family.labels.entry(label).or_default().insert(value);
            }
        }
    }
    families
}

/// The family that has series of this name.
pub(crate) fn family_of<'a>(series: &str, families: &'a Families) -> (&'a str, &'a Family) {
    let found = families.iter().find(|(name, family)| {
        let endings: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &[""],
        };
        let ending = series.strip_prefix(name.as_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    });
    let (name, family) = found.unwrap_or_else(|| panic!("{series} is no series of ours"));
    (name, family)
}

/// A series' labels, but for those of the format itself. Our values hold no quotes and no commas.
fn labels(series: &str) -> Vec<(String, String)> {
    let Some((_, labels)) = series.split_once('{') else {
        return Vec::new();
    };
    let (labels, _) = labels.split_once('}').unwrap();
    let pairs = labels.split(',').map(|pair| pair.split_once('=').unwrap());
    let pairs = pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()));
    pairs.filter(|(label, _)| label != "le").collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    let parts = cell.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}
