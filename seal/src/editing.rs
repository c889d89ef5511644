//! What a request writes, and what the vault's editors let the requester write.
//!
//! # Guarantees
//! * The stored rules decide, never the ones that come in.
//! * Rules that cannot be read let nobody write.
//! * No value is looked into: see [`secretvault_vault::editors`].
//! * Of more entries than a vault can have none is named: such a request is refused, and the audit log
//!   need not name them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secretvault_crds::SecretVaultSpec;
use secretvault_crds::limits::MAX_ENTRIES;
use secretvault_vault::{Edit, Editor, EditorRule, EntryName, Written, check_removal, uncovered};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::Manifest;
use crate::examine::entry_names;

/// What a request writes of a vault's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Entries, by name.
    pub entries: Vec<Edit>,
    /// All else, as a manifest spells it: `spec.onDelete`. Not `spec.dataKey`, which is the operator's.
    pub fields: Vec<String>,
}

/// What a request writes and no rule of `spec.editors` lets the requester write: it needs the verb
/// `manage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoEditor {
    /// Entries.
    pub entries: Vec<Edit>,
    /// Other fields: no rule can be about them.
    pub fields: Vec<String>,
    /// The vault as a whole is deleted.
    pub removal: bool,
}

/// Compares an incoming manifest with the stored object.
#[must_use]
pub fn edits(stored: Option<Manifest<'_>>, incoming: Manifest<'_>) -> Edits {
    let nothing = Value::Null;
    let stored = stored.map_or(&nothing, |stored| stored.spec);
    let (before, now) = (Entries::read(stored), Entries::read(incoming.spec));
    let entries = if before.too_many || now.too_many {
        Vec::new()
    } else {
        secretvault_vault::edits(&before.written, &now.written)
    };
    let mut fields: BTreeSet<String> = before.unreadable;
    fields.extend(now.unreadable);
    fields.extend(changed_fields(stored, incoming.spec));
    Edits {
        entries,
        fields: fields.into_iter().collect(),
    }
}

/// Decides whether the editors of a stored vault let somebody make these edits. Anybody may, where the
/// vault has no editors.
///
/// # Errors
/// What they do not let him do.
pub fn check_editor(stored: Manifest<'_>, edits: Edits, editor: &Editor) -> Result<(), NoEditor> {
    let Some(rules) = rules(stored) else {
        return Ok(());
    };
    let entries = uncovered(&rules, stored.namespace, editor, edits.entries);
    let fields = edits.fields;
    if entries.is_empty() && fields.is_empty() {
        return Ok(());
    }
    Err(NoEditor {
        entries,
        fields,
        removal: false,
    })
}

/// Decides whether the editors of a stored vault let somebody delete it with all its entries.
///
/// # Errors
/// What they do not let him do.
pub fn check_remover(stored: Manifest<'_>, editor: &Editor) -> Result<(), NoEditor> {
    let Some(rules) = rules(stored) else {
        return Ok(());
    };
    let entries = Entries::read(stored.spec);
    let fields: Vec<String> = entries.unreadable.into_iter().collect();
    let names = entries.written.into_keys();
    let entries = match check_removal(&rules, stored.namespace, editor, names) {
        Ok(()) if fields.is_empty() => return Ok(()),
        Ok(()) => Vec::new(),
        Err(entries) => entries,
    };
    Err(NoEditor {
        entries,
        fields,
        removal: true,
    })
}

/// The rules of a stored object, if it has editors. Those that cannot be read are none.
fn rules(stored: Manifest<'_>) -> Option<Vec<EditorRule>> {
    field(stored.spec, "editors")?;
    let spec = SecretVaultSpec::deserialize(stored.spec).ok();
    let rules = spec.and_then(|spec| spec.parse_editors().ok()?);
    Some(rules.unwrap_or_default())
}

/// All that is written of one entry: the map, its text, its rule under `files`.
type Content<'a> = (&'static str, &'a Value, Option<&'a Value>);

/// The entries of a spec, as far as they can be read.
struct Entries<'a> {
    written: BTreeMap<EntryName, Written<Content<'a>>>,
    /// Maps and rules that have no readable name, or too many.
    unreadable: BTreeSet<String>,
    /// More than a vault can have: none was read.
    too_many: bool,
}

impl<'a> Entries<'a> {
    fn read(spec: &'a Value) -> Self {
        let mut entries = Self {
            written: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            too_many: entry_names(spec).count() > MAX_ENTRIES,
        };
        let rules = entries.read_rules(spec);
        for map in MAPS {
            let Some(values) = spec.get(map).and_then(Value::as_object) else {
                continue;
            };
            if entries.too_many {
                entries.unreadable.insert(format!("spec.{map}"));
                continue;
            }
            for (name, value) in values {
                let rule = rules.get(name.as_str()).copied();
                if !entries.read_entry(map, name, value, rule) {
                    entries.unreadable.insert(format!("spec.{map}"));
                }
            }
        }
        entries
    }

    /// The rules of `files`, by entry.
    fn read_rules(&mut self, spec: &'a Value) -> BTreeMap<&'a str, &'a Value> {
        let rules = spec.get("files").and_then(Value::as_array);
        let mut named = BTreeMap::new();
        for rule in rules.into_iter().flatten() {
            let entry = rule.get("entry").and_then(Value::as_str);
            let other = entry.and_then(|entry| named.insert(entry, rule));
            if entry.is_none() || other.is_some() {
                self.unreadable.insert("spec.files".to_owned());
            }
        }
        named
    }

    /// False where it cannot be read, or is there already, in another map.
    fn read_entry(
        &mut self,
        map: &'static str,
        name: &str,
        value: &'a Value,
        rule: Option<&'a Value>,
    ) -> bool {
        let path = rule.and_then(|rule| rule.get("path")?.as_str());
        let (Ok(entry), Ok(path)) = (name.parse(), path.map(str::parse).transpose()) else {
            return false;
        };
        let written = Written {
            content: (map, value, rule),
            path,
        };
        self.written.insert(entry, written).is_none()
    }
}

/// The fields of a spec that differ and are not of one entry. Who may have or write what is judged as
/// such: see [`Rights`](crate::Rights).
fn changed_fields<'a>(stored: &'a Value, incoming: &'a Value) -> impl Iterator<Item = String> {
    let names = |spec: &'a Value| spec.as_object().into_iter().flat_map(Map::keys);
    let names = names(stored).chain(names(incoming));
    let elsewhere = |name: &str| MAPS.contains(&name) || ELSEWHERE.contains(&name);
    let other = names.filter(move |name| !elsewhere(name));
    let changed = other.filter(|name| field(stored, name) != field(incoming, name));
    changed.map(|name| format!("spec.{name}"))
}

/// A field, if it says something.
pub(crate) fn field<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    spec.get(name).filter(|value| !value.is_null())
}

/// The maps of entries.
pub(crate) const MAPS: [&str; 4] = ["binaryData", "data", "publicBinaryData", "publicData"];

/// What else is compared entry by entry, or judged in another way.
const ELSEWHERE: [&str; 4] = ["access", "dataKey", "editors", "files"];

/// What he may not do, such as `update db/password, change spec.onDelete`.
impl fmt::Display for NoEditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields.iter().map(|field| format!("change {field}"));
        let all: Vec<String> = self
            .entries
            .iter()
            .map(Edit::to_string)
            .chain(fields)
            .collect();
        let (shown, more) = all.split_at(all.len().min(SHOWN));
        let mut list = shown.join(", ");
        if !more.is_empty() {
            list = format!("{list} and {} more", more.len());
        }
        match (self.removal, list.is_empty()) {
            (false, _) => f.write_str(&list),
            (true, false) => write!(f, "delete the vault ({list})"),
            (true, true) => f.write_str("delete the vault"),
        }
    }
}

/// How many a message names.
const SHOWN: usize = 8;
