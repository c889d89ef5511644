//! The rules that the API server itself enforces: CEL in the schema.
//!
//! # Guarantees
//! * No message holds a value. Rules that judge values stand on the *map* (the API server echoes
//!   the value of a string that a rule, `pattern`, `format` or `enum` refuses, but of a map only its
//!   type), and their messages are static. Messages may name entries.
//! * Every rule is bounded: each map, list and string that one looks at has a limit in the schema,
//!   so that the API server's cost estimate accepts it; and at the limits, what it really costs
//!   stays below what the API server grants one object.
//!
//! # Caveats
//! Left to admission, and to [`parse`](crate::SecretVault::parse): two entries that land at one path
//! in a vault with more than 128 rules under `files` (comparing all pairs would cost too much), or
//! one below the other; `**` as a part of a segment; and the size of a value before it was sealed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;

use crate::limits::{MAX_ENTRIES, MAX_ENTRY_NAME, MAX_SEALED_TOTAL};

/// Of `data` and `binaryData`.
pub(crate) fn secret_entries() -> Vec<ValidationRule> {
    [vec![sealed()], entries()].concat()
}

/// Of `publicData` and `publicBinaryData`.
pub(crate) fn entries() -> Vec<ValidationRule> {
    vec![entry_name_length(), entry_name_form()]
}

/// Of the spec as a whole.
pub(crate) fn vault() -> Vec<ValidationRule> {
    let [data, binary, public, public_binary] = MAPS;
    vec![
        entry_count(),
        sealed_total(),
        disjoint(data, binary),
        disjoint(data, public),
        disjoint(data, public_binary),
        disjoint(binary, public),
        disjoint(binary, public_binary),
        disjoint(public, public_binary),
        files_known(),
        files_apart(),
        files_beside_entries(),
        immutable(),
    ]
}

/// Of one file rule.
pub(crate) fn file() -> Vec<ValidationRule> {
    vec![rule(
        format!("!has(self.path) || {}", entry_name("self.path")),
        format!("a path is {NAME_FORM}"),
    )]
}

/// Of the namespaces of an access rule.
pub(crate) fn namespaces() -> Vec<ValidationRule> {
    vec![rule(
        "has(self.names) || has(self.selector)",
        "namespaces needs names, a selector, or both; leave it out to mean the vault's own namespace",
    )]
}

/// Of the labels of such namespaces.
pub(crate) fn namespace_selector() -> Vec<ValidationRule> {
    vec![rule(
        "(has(self.matchLabels) && size(self.matchLabels) > 0) \
         || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
        EVERY_NAMESPACE,
    )]
}

/// Of one rule of editors.
pub(crate) fn editor() -> Vec<ValidationRule> {
    vec![rule(
        "has(self.users) || has(self.groups) || has(self.serviceAccounts)",
        FOR_NOBODY,
    )]
}

/// Of one label expression.
pub(crate) fn label_expression() -> Vec<ValidationRule> {
    vec![rule(
        "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        "In and NotIn need at least one value, Exists and DoesNotExist take none",
    )]
}

/// Of a key provider's spec.
pub(crate) fn key_provider() -> Vec<ValidationRule> {
    vec![rule(
        "has(self.local) != has(self.vaultTransit)",
        "exactly one kind of provider must be given: local or vaultTransit",
    )]
}

/// Of a local provider.
pub(crate) fn local_provider() -> Vec<ValidationRule> {
    vec![rule(
        "!has(self.keyring.file) || \
         !(has(self.rotateAfter) || has(self.rotatedSince) || has(self.retire))",
        "the operator cannot write a keyring file: rotate and retire its keys with \
         `secretvault-operator keyring`, and leave rotateAfter, rotatedSince and retire out",
    )]
}

/// Of a key provider's namespaces.
pub(crate) fn allowed_namespaces() -> Vec<ValidationRule> {
    vec![rule(
        "(has(self.names) && size(self.names) > 0) \
         || (has(self.matchLabels) && size(self.matchLabels) > 0)",
        "allowedNamespaces needs names or matchLabels; leave it out to allow all namespaces",
    )]
}

/// Of the ways to log in to a Transit server.
pub(crate) fn transit_auth() -> Vec<ValidationRule> {
    vec![rule(
        "[has(self.kubernetes), has(self.appRole), has(self.token)].filter(it, it).size() == 1",
        "exactly one way to log in must be given: kubernetes, appRole or token",
    )]
}

/// Of a keyring's source.
pub(crate) fn keyring_source() -> Vec<ValidationRule> {
    vec![rule(
        "has(self.secret) != has(self.file)",
        "exactly one of secret and file must be given",
    )]
}

/// A map's values are all sealed. Static message: see the module's guarantees.
fn sealed() -> ValidationRule {
    rule(
        "self.all(k, self[k].startsWith('sv1:') || self[k].startsWith('git1:'))",
        "every value must be sealed; is SecretVault's admission webhook installed and reachable?",
    )
}

fn entry_name_length() -> ValidationRule {
    let limit = MAX_ENTRY_NAME;
    let static_message = format!("an entry's name has at most {limit} characters");
    naming(
        rule(format!("self.all(k, size(k) <= {limit})"), &static_message),
        &format!("self.filter(k, size(k) > {limit})[0].substring(0, 80) + '…'"),
        &static_message,
    )
}

fn entry_name_form() -> ValidationRule {
    let static_message = format!("an entry's name is {NAME_FORM}");
    let form = entry_name("k");
    naming(
        rule(format!("self.all(k, {form})"), &static_message),
        &format!("self.filter(k, !({form}))[0]"),
        &static_message,
    )
}

/// Whether an expression is an entry's name, apart from its length.
fn entry_name(name: &str) -> String {
    format!(
        "{name}.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$') \
         && !('/' + {name}).contains('/..') \
         && !('/' + {name} + '/').contains('/./') \
         && !({name} + '/').startsWith('kubernetes.io/')"
    )
}

fn entry_count() -> ValidationRule {
    let count = MAPS
        .map(|map| format!("(has(self.{map}) ? size(self.{map}) : 0)"))
        .join(" + ");
    rule(
        format!("{count} <= {MAX_ENTRIES}"),
        format!(
            "data, binaryData, publicData and publicBinaryData have more than {MAX_ENTRIES} \
             entries in all: use a second vault"
        ),
    )
}

fn sealed_total() -> ValidationRule {
    let total = ["data", "binaryData"]
        .map(|map| format!("(has(self.{map}) ? self.{map}.map(k, size(self.{map}[k])).sum() : 0)"))
        .join(" + ");
    rule(
        format!("{total} <= {MAX_SEALED_TOTAL}"),
        format!(
            "the sealed values of data and binaryData have more than {MAX_SEALED_TOTAL} characters \
             in all: use a second vault"
        ),
    )
}

/// No entry is in two of the maps: one rule per pair.
fn disjoint(one: &str, other: &str) -> ValidationRule {
    let static_message = format!("an entry is in {one} and in {other}: keep one of the two");
    naming(
        rule(
            format!(
                "!has(self.{one}) || !has(self.{other}) \
                 || self.{one}.all(k, !(k in self.{other}))"
            ),
            &static_message,
        ),
        &format!("self.{one}.filter(k, k in self.{other})[0]"),
        &static_message,
    )
}

fn files_known() -> ValidationRule {
    let known = in_vault("f.entry");
    let static_message =
        "a rule of files is for an entry that is not in the vault: add it, or take the rule out";
    naming(
        rule(
            format!("!has(self.files) || self.files.all(f, {known})"),
            static_message,
        ),
        &format!("self.files.map(f, !{known}, f.entry)[0]"),
        static_message,
    )
}

/// No two file rules land at one path. (A list in a list is how CEL here names a value once.)
fn files_apart() -> ValidationRule {
    let paths = "self.files.map(f, has(f.path) ? f.path : f.entry)";
    rule(
        if_comparable(&format!(
            "[{paths}].all(paths, paths.all(p, paths.indexOf(p) == paths.lastIndexOf(p)))"
        )),
        "two rules of files put their entries at one path: give one of them another path",
    )
}

/// No file rule lands at the name of an entry that stays where it is, having no rule.
fn files_beside_entries() -> ValidationRule {
    let taken = in_vault("f.path");
    let static_message =
        "a rule of files puts another entry at this one's path: give one of them another path";
    naming(
        rule(
            if_comparable(&format!(
                "[self.files.map(f, f.entry)].all(ruled, \
                 self.files.all(f, !has(f.path) || f.path in ruled || !{taken}))"
            )),
            static_message,
        ),
        &format!("self.files.map(f, has(f.path) && f.path != f.entry && {taken}, f.path)[0]"),
        static_message,
    )
}

/// Whether an expression names an entry of the vault.
fn in_vault(entry: &str) -> String {
    let maps = MAPS.map(|map| format!("(has(self.{map}) && {entry} in self.{map})"));
    format!("({})", maps.join(" || "))
}

/// Comparing all pairs of more rules than this would exceed what the API server grants one rule.
fn if_comparable(rule: &str) -> String {
    format!("!has(self.files) || size(self.files) > {MAX_COMPARED_FILES} || {rule}")
}

const MAX_COMPARED_FILES: usize = 128;

/// Once immutable, neither entries nor the way they land change, and it stays immutable. Under a new
/// data key the same values have other envelopes: that they are the same, admission sees to.
fn immutable() -> ValidationRule {
    let [data, binary, public, public_binary] = MAPS;
    let kept = |field: &str, same: &str| {
        format!("(has(self.{field}) ? has(oldSelf.{field}) && {same} : !has(oldSelf.{field}))")
    };
    let fields = [public, public_binary, "files", "fileDefaults"];
    let fields = fields.map(|field| kept(field, &format!("self.{field} == oldSelf.{field}")));
    let sealed = [data, binary].map(|map| kept(map, &same_or_resealed(map)));
    let same = [sealed.join(" && "), fields.join(" && ")].join(" && ");
    rule(
        format!(
            "!has(oldSelf.immutable) || !oldSelf.immutable \
             || (has(self.immutable) && self.immutable && {same})"
        ),
        "the vault is immutable: entries, files, fileDefaults and immutable itself cannot change; \
         create another vault",
    )
}

/// Whether a map of sealed entries is the old one, or has its names under a new data key.
fn same_or_resealed(map: &str) -> String {
    format!(
        "(self.{map} == oldSelf.{map} \
         || (has(self.dataKey) && has(oldSelf.dataKey) && self.dataKey.id != oldSelf.dataKey.id \
         && size(self.{map}) == size(oldSelf.{map}) && self.{map}.all(k, k in oldSelf.{map})))"
    )
}

fn rule(rule: impl Into<String>, message: impl Into<String>) -> ValidationRule {
    ValidationRule {
        rule: rule.into(),
        message: Some(message.into()),
        ..ValidationRule::default()
    }
}

/// Adds the offending entry's name to a rule's message. Where that cannot be computed, the API
/// server shows the static message.
fn naming(rule: ValidationRule, entry: &str, message: &str) -> ValidationRule {
    let message = message.replace('\'', "\\'");
    ValidationRule {
        message_expression: Some(format!("'entry \"' + {entry} + '\": {message}'")),
        ..rule
    }
}

/// What an empty selector of namespaces would do, most likely by mistake.
pub(crate) const EVERY_NAMESPACE: &str = "an empty selector would mean every namespace: name a label, \
     or say so with {key: kubernetes.io/metadata.name, operator: Exists} in matchExpressions";

/// What a rule of editors without a name would be.
pub(crate) const FOR_NOBODY: &str =
    "a rule of editors says for whom it is: it needs users, groups or serviceAccounts";

/// The four maps of entries, as they are spelled in an object.
const MAPS: [&str; 4] = ["data", "binaryData", "publicData", "publicBinaryData"];

const NAME_FORM: &str = "made of segments of letters, digits, '.', '_' and '-', joined by '/'; no \
                         segment is '.' or starts with '..', and the first is not 'kubernetes.io'";
