//! The rules that the API server itself enforces: CEL in the schema.
//!
//! # Guarantees
//! * No message holds a value. Rules that judge values stand on the *map* (the API server echoes
//!   the value of a string that a rule, `pattern`, `format` or `enum` refuses, but of a map only its
//!   type), and their messages are static. Messages may name entries.
//! * Every rule is bounded: each map, list and string in the schema has a limit, so that the API
//!   server's cost estimate accepts the rules.

use kube::core::{Message, Rule};

use crate::limits::{MAX_ENTRIES, MAX_ENTRY_NAME, MAX_SEALED_TOTAL};

/// The four maps of entries, as they are spelled in an object.
const MAPS: [&str; 4] = ["data", "binaryData", "publicData", "publicBinaryData"];

/// A map's values are all sealed. Static message: see the module's guarantees.
pub(crate) fn sealed() -> Rule {
    Rule::new("self.all(k, self[k].startsWith('sv1:') || self[k].startsWith('git1:'))").message(
        "every value must be sealed; is SecretVault's admission webhook installed and reachable?",
    )
}

/// A map's keys are not too long.
pub(crate) fn entry_name_length() -> Rule {
    let limit = MAX_ENTRY_NAME;
    rule(
        format!("self.all(k, size(k) <= {limit})"),
        format!(
            "'entry ' + self.filter(k, size(k) > {limit})[0].substring(0, 80) + \
             '… has too long a name: at most {limit} characters'"
        ),
    )
}

/// A map's keys are entry names.
pub(crate) fn entry_name_form() -> Rule {
    let form = "k.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$') \
                && !('/' + k).contains('/..') \
                && !('/' + k + '/').contains('/./') \
                && !(k + '/').startsWith('kubernetes.io/')";
    let advice = "an entry's name is made of segments of letters, digits, '.', '_', '-', joined by \
                  '/'; no segment is '.' or starts with '..', and the first is not 'kubernetes.io'";
    rule(
        format!("self.all(k, {form})"),
        format!(
            "'entry \"' + self.filter(k, !({form}))[0] + '\" is not allowed: {}'",
            advice.replace('\'', "\\'")
        ),
    )
}

/// The four maps together are not too many entries.
pub(crate) fn entry_count() -> Rule {
    let count = MAPS
        .map(|map| format!("(has(self.{map}) ? size(self.{map}) : 0)"))
        .join(" + ");
    rule(
        format!("{count} <= {MAX_ENTRIES}"),
        format!(
            "'the vault has ' + string({count}) + ' entries: at most {MAX_ENTRIES} are allowed, \
             use a second vault'"
        ),
    )
}

/// The sealed values together are not too long.
pub(crate) fn sealed_total() -> Rule {
    let total = ["data", "binaryData"]
        .map(|map| format!("(has(self.{map}) ? self.{map}.map(k, size(self.{map}[k])).sum() : 0)"))
        .join(" + ");
    Rule::new(format!("{total} <= {MAX_SEALED_TOTAL}")).message(Message::Message(format!(
        "the sealed values of a vault have at most {MAX_SEALED_TOTAL} characters in all: use a \
             second vault"
    )))
}

/// No entry is in two of the maps: six pairs.
pub(crate) fn disjoint(one: &str, other: &str) -> Rule {
    rule(
        format!(
            "!has(self.{one}) || !has(self.{other}) || self.{one}.all(k, !(k in self.{other}))"
        ),
        format!(
            "'entry \"' + self.{one}.filter(k, k in self.{other})[0] + \
             '\" is in {one} and in {other}: keep one of the two'"
        ),
    )
}

/// Rules on files speak of entries that the vault has.
pub(crate) fn files_known() -> Rule {
    let known = MAPS
        .map(|map| format!("has(self.{map}) && f.entry in self.{map}"))
        .join(" || ");
    rule(
        format!("!has(self.files) || self.files.all(f, {known})"),
        format!(
            "'files: entry \"' + self.files.filter(f, !({known}))[0].entry + \
             '\" is not in the vault: add it, or take its rule out of files'"
        ),
    )
}

/// Once immutable, neither entries nor the way they land change, and it stays immutable.
pub(crate) fn immutable() -> Rule {
    let same = MAPS
        .iter()
        .chain(&["files", "fileDefaults"])
        .map(|field| {
            format!(
                "has(self.{field}) == has(oldSelf.{field}) \
                 && (!has(self.{field}) || self.{field} == oldSelf.{field})"
            )
        })
        .collect::<Vec<_>>()
        .join(" && ");
    Rule::new(format!(
        "!(has(oldSelf.immutable) && oldSelf.immutable) \
         || (has(self.immutable) && self.immutable && {same})"
    ))
    .message("the vault is immutable: create another one and delete this one")
}

/// A rule whose message is computed. If it cannot be, the API server shows the rule's own text.
fn rule(rule: String, message: String) -> Rule {
    Rule::new(rule).message(Message::Expression(message))
}
