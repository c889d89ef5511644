//! Who may write which entry.
//!
//! A vault without editors is written by whoever Kubernetes lets update it. With editors, each entry that
//! a request creates, changes or deletes must be covered by a rule that is for the requester and has
//! that verb. What an entry is, is its value and how it lands: who may not update an entry cannot give
//! its file another owner or path either, and nobody puts an entry at a path that he could not write.
//!
//! # Guarantees
//! * The decision looks at what was written, not at what it means: a text that is not the stored one,
//!   byte for byte, is a change. So who may not write an entry cannot find out either, by being refused
//!   or not, whether a guess of its value is right.
//! * Adding a rule never takes a right away, and a rule gives none that it does not name.
//! * Whoever has rules that would take too long to compare may write nothing: see
//!   [`effort`](crate::effort).

use std::{collections::BTreeMap, fmt, str::FromStr};

use thiserror::Error;

use crate::{
    effort::{MAX_EFFORT_OF_A_CHANGE, effort, weight},
    names::{EntryName, FilePath, is_dns_label, shown},
    pattern::{EntryPattern, NamePattern, PatternError},
};

/// One rule of a vault's `editors`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EditorRule {
    /// Users, by their exact names.
    pub users: Vec<String>,
    /// Groups, by their exact names.
    pub groups: Vec<String>,
    /// Service accounts.
    pub service_accounts: Vec<AccountPattern>,
    /// What these may do.
    pub verbs: Vec<EditVerb>,
    /// Entries that they may do it to; absent: every entry.
    pub entries: Option<Vec<EntryPattern>>,
}

impl EditorRule {
    /// The patterns with a `*` that it has for entries.
    pub fn globs(&self) -> impl Iterator<Item = &str> {
        let entries = self.entries.iter().flatten();
        entries.filter_map(EntryPattern::glob)
    }

    /// Whether the rule is for this requester: one name is enough, be it the user's, a group's or the
    /// service account's.
    fn is_for(&self, editor: &Editor, vault_namespace: &str) -> bool {
        self.users.contains(&editor.user)
            || self.groups.iter().any(|it| editor.groups.contains(it))
            || editor.service_account().is_some_and(|account| {
                let mut patterns = self.service_accounts.iter();
                patterns.any(|it| it.matches(account, vault_namespace))
            })
    }

    fn covers(&self, verb: EditVerb, name: &EntryName) -> bool {
        let entries = self.entries.as_ref();
        self.verbs.contains(&verb) && entries.is_none_or(|it| it.iter().any(|p| p.matches(name)))
    }
}

/// A service account, or several of one namespace: `name` or `namespace/name`, where `*` in the name
/// stands for any characters. Without a namespace: the vault's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPattern {
    namespace: Option<String>,
    name: NamePattern,
}

impl AccountPattern {
    fn matches(&self, (namespace, name): (&str, &str), vault_namespace: &str) -> bool {
        let own = self.namespace.as_deref().unwrap_or(vault_namespace);
        namespace == own && self.name.matches(name)
    }
}

/// What an editor does to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EditVerb {
    /// It was not there.
    Create,
    /// It is there no longer.
    Delete,
    /// Its value, its kind, or how it lands is another.
    Update,
}

/// Whoever makes a request, as the API server authenticated it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Editor {
    /// The user's name.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl Editor {
    /// Namespace and name, if it is a service account. Only the API server's own authenticators make
    /// such a name.
    fn service_account(&self) -> Option<(&str, &str)> {
        let account = self.user.strip_prefix("system:serviceaccount:")?;
        account.split_once(':')
    }
}

/// What a request does to one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What it does.
    pub verb: EditVerb,
    /// The entry.
    pub entry: EntryName,
    /// The path at which the entry lands from now on, where that is not its name.
    pub path: Option<FilePath>,
}

impl Edit {
    /// What must be covered: the entry, and the name that its path would be.
    fn names(&self) -> impl Iterator<Item = &str> {
        let path = self.path.as_ref().map(FilePath::as_str);
        [self.entry.as_str()].into_iter().chain(path)
    }
}

/// What is written of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// All that can differ: which map it is in, its text, its rule under `files`.
    pub content: T,
    /// The path that its rule names.
    pub path: Option<FilePath>,
}

/// What a request does to the entries of a vault, by name.
pub fn edits<T: PartialEq>(
    stored: &BTreeMap<EntryName, Written<T>>,
    incoming: &BTreeMap<EntryName, Written<T>>,
) -> Vec<Edit> {
    let deleted = stored.keys().filter(|entry| !incoming.contains_key(*entry));
    let deleted = deleted.map(|entry| Edit {
        verb: EditVerb::Delete,
        entry: entry.clone(),
        path: None,
    });
    let written = incoming.iter().filter_map(|(entry, now)| {
        let before = stored.get(entry);
        let verb = match before {
            None => EditVerb::Create,
            Some(before) if before != now => EditVerb::Update,
            Some(_) => return None,
        };
        let path = now.path.clone().filter(|path| {
            let before = before.and_then(|before| before.path.as_ref());
            before != Some(path) && path.as_str() != entry.as_str()
        });
        Some(Edit {
            verb,
            entry: entry.clone(),
            path,
        })
    });
    let mut edits: Vec<Edit> = deleted.chain(written).collect();
    edits.sort_by(|one, other| one.entry.cmp(&other.entry));
    edits
}

/// The edits that no rule lets this requester make.
pub fn uncovered(
    rules: &[EditorRule],
    vault_namespace: &str,
    editor: &Editor,
    edits: Vec<Edit>,
) -> Vec<Edit> {
    let rules = rules.iter();
    let rules: Vec<&EditorRule> = rules
        .filter(|rule| rule.is_for(editor, vault_namespace))
        .collect();
    let globs = weight(rules.iter().flat_map(|rule| rule.globs()));
    if effort(globs, weight(edits.iter().flat_map(Edit::names))) > MAX_EFFORT_OF_A_CHANGE {
        return edits;
    }
    let covered = |verb, name: &EntryName| rules.iter().any(|rule| rule.covers(verb, name));
    let mut edits = edits;
    edits.retain(|edit| {
        let path = edit.path.as_ref().map(EntryName::from);
        let lands = path.is_none_or(|path| covered(edit.verb, &path));
        !(lands && covered(edit.verb, &edit.entry))
    });
    edits
}

/// Decides whether a requester may delete the whole vault: his rules must cover the deletion of every
/// entry, and at least one must let him delete, also where there is no entry.
///
/// # Errors
/// The deletions that no rule covers: none of them, if there is no entry.
pub fn check_removal(
    rules: &[EditorRule],
    vault_namespace: &str,
    editor: &Editor,
    entries: impl IntoIterator<Item = EntryName>,
) -> Result<(), Vec<Edit>> {
    let deletes = |rule: &EditorRule| {
        rule.verbs.contains(&EditVerb::Delete) && rule.is_for(editor, vault_namespace)
    };
    let edits = entries.into_iter().map(|entry| Edit {
        verb: EditVerb::Delete,
        entry,
        path: None,
    });
    let missing = uncovered(rules, vault_namespace, editor, edits.collect());
    if missing.is_empty() && rules.iter().any(deletes) {
        Ok(())
    } else {
        Err(missing)
    }
}

/// Why a text names no service account.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The part after the slash, or the only one.
    #[error("{0}")]
    Name(PatternError),
    /// The part before the slash.
    #[error("{text:?}: what stands before the '/' must be the name of one namespace")]
    Namespace {
        /// The offending text, shortened.
        text: String,
    },
}

impl FromStr for AccountPattern {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if namespace.is_some_and(|namespace| !is_dns_label(namespace)) {
            return Err(AccountError::Namespace { text: shown(text) });
        }
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.parse().map_err(AccountError::Name)?,
        })
    }
}

/// As in a manifest.
impl fmt::Display for EditVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Update => "update",
        })
    }
}

/// Such as `update db/password`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.entry)?;
        match &self.path {
            Some(path) => write!(f, " at path {path}"),
            None => Ok(()),
        }
    }
}
