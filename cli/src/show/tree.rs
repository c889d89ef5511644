//! Namespaces, their vaults, and the paths of the entries, as a tree.

use std::collections::BTreeMap;

use secretvault_crds::EntryKind;

use super::{
    output::print,
    vaults::{Readable, ReadableVault, tell},
};
use crate::session::Session;

/// Shows the vaults and their entries: names, and no value.
///
/// # Errors
/// A vault cannot be read: the others are shown.
pub fn tree(session: &Session) -> anyhow::Result<()> {
    let readable = Readable::load(&session.store()?)?;
    readable.hint();
    let mut namespaces: BTreeMap<String, Vec<Branch>> = BTreeMap::new();
    for vault in &readable.vaults {
        let reference = vault.stored.object.reference();
        let branch = Branch {
            label: reference.name,
            below: branches(&paths(vault)),
        };
        namespaces
            .entry(reference.namespace)
            .or_default()
            .push(branch);
    }
    let mut text = String::new();
    for (namespace, vaults) in namespaces {
        text.push_str(&namespace);
        text.push('\n');
        draw(&vaults, "", &mut text);
    }
    print(text)?;
    tell(readable.failures)
}

struct Branch {
    label: String,
    below: Vec<Branch>,
}

fn paths(vault: &ReadableVault) -> Vec<(String, EntryKind)> {
    let secret = vault.spec.secrets().map(|(name, _)| name.to_owned());
    let public = vault.spec.public_data.keys();
    let public = public.chain(vault.spec.public_binary_data.keys()).cloned();
    let secret = secret.map(|name| (name, EntryKind::Secret));
    secret
        .chain(public.map(|name| (name, EntryKind::Public)))
        .collect()
}

/// Groups paths by their first segment. A directory bears a slash, so that it stands apart from an
/// entry of its name.
fn branches(paths: &[(String, EntryKind)]) -> Vec<Branch> {
    let mut grouped: BTreeMap<String, Vec<(String, EntryKind)>> = BTreeMap::new();
    for (path, kind) in paths {
        let (label, rest) = match (path.split_once('/'), kind) {
            (Some((first, rest)), kind) => (format!("{first}/"), Some((rest.to_owned(), *kind))),
            (None, EntryKind::Public) => (format!("{path} (public)"), None),
            (None, EntryKind::Secret) => (path.clone(), None),
        };
        grouped.entry(label).or_default().extend(rest);
    }
    let branch = |(label, rest): (String, Vec<_>)| Branch {
        below: branches(&rest),
        label,
    };
    grouped.into_iter().map(branch).collect()
}

fn draw(branches: &[Branch], margin: &str, text: &mut String) {
    for (index, branch) in branches.iter().enumerate() {
        let (fork, below) = if index + 1 == branches.len() {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        text.extend([margin, fork, branch.label.as_str(), "\n"]);
        draw(&branch.below, &format!("{margin}{below}"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(paths: &[(&str, EntryKind)]) -> String {
        let paths: Vec<_> = paths
            .iter()
            .map(|(path, kind)| ((*path).to_owned(), *kind))
            .collect();
        let mut text = String::new();
        draw(&branches(&paths), "", &mut text);
        text
    }

    #[test]
    fn paths_share_their_directories() {
        use EntryKind::{Public, Secret};
        let text = drawn(&[
            ("tls/key.pem", Secret),
            ("db/main/user", Public),
            ("db/main/password", Secret),
            ("db/replica", Secret),
            ("level", Public),
        ]);
        let expected = "\
├── db/
│   ├── main/
│   │   ├── password
│   │   └── user (public)
│   └── replica
├── level (public)
└── tls/
    └── key.pem
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_entry_stands_apart_from_a_directory_of_its_name() {
        let text = drawn(&[("a/b", EntryKind::Secret), ("a", EntryKind::Secret)]);
        assert_eq!(text, "├── a\n└── a/\n    └── b\n");
    }
}
