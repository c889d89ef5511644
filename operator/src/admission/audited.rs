//! What the audit log says of a review: names, and no value.

use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, Operation as Asked};
use kube::{Resource, ResourceExt};
use secretvault_audit::{
    Admission, Change, Deletion, Injection, Name, Operation, OwnWords, Record, Turn, Vault, Verdict,
};
use secretvault_seal::{Edits, edits};
use secretvault_vault::EditVerb;
use serde_json::Value;

use super::answer::Denied;
use super::metrics::{PodOutcome, VaultOutcome};
use super::review::Seen;
use crate::injection::Refusal;

impl OwnWords for Denied {}
impl OwnWords for Refusal {}

/// What is written, by a request that nothing was made of yet: each plain value counts as another one.
pub(super) fn asked(request: &AdmissionRequest<DynamicObject>) -> Edits {
    let Some(incoming) = &request.object else {
        return Edits::default();
    };
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let stored = request.old_object.as_ref();
    let seen = stored.map(Seen::new);
    let manifest = seen.as_ref();
    let manifest = manifest.map(|stored| stored.manifest(namespace, &request.name));
    let mut edits = edits(
        manifest,
        Seen::new(incoming).manifest(namespace, &request.name),
    );
    // Judged in another way, and so no edits there.
    let rules = ["access", "editors"].into_iter();
    let rules = rules.filter(|rules| {
        let of = |vault: &DynamicObject| vault.data.get("spec")?.get(*rules).cloned();
        stored.and_then(of) != of(incoming)
    });
    edits
        .fields
        .extend(rules.map(|rules| format!("spec.{rules}")));
    edits
}

/// A vault that is to be created or changed. Of an admitted request the object is sealed already.
pub(super) fn admission<T>(
    request: &AdmissionRequest<DynamicObject>,
    asked_for: Edits,
    decision: &Result<T, Denied>,
) -> Record {
    let stored = request.old_object.as_ref();
    let (outcome, change, message) = match decision {
        Ok(_) => {
            let before = data_key(stored);
            let after = data_key(request.object.as_ref());
            let data_key = turn(before, after);
            let change = match data_key {
                // Every envelope is another one: what was asked for is all that can be told.
                Some(Turn::Migrate | Turn::Rekey) => asked_for,
                Some(Turn::New | Turn::Rewrap) | None => asked(request),
            };
            let change = Change {
                data_key,
                key_id: text(after, "keyId").map(Name::from),
                ..named(&change)
            };
            (VaultOutcome::Admitted, change, None)
        }
        Err(denied) => (denied.outcome(), named(&asked_for), Some(denied.into())),
    };
    Record::Admission(Admission {
        verdict: verdict(decision.is_ok()),
        reason: outcome.word(),
        user: user(request),
        operation: operation(request),
        dry_run: request.dry_run,
        request: request.uid.as_str().into(),
        vault: Vault {
            name: request.name.as_str().into(),
            ..vault(request, stored)
        },
        change,
        message,
    })
}

/// A vault that is to be deleted.
pub(super) fn deletion(
    request: &AdmissionRequest<DynamicObject>,
    decision: Result<(), &Denied>,
) -> Record {
    let stored = request.old_object.as_ref();
    let entries = stored.map(|stored| {
        let stored = Seen::new(stored);
        edits(None, stored.manifest("", "")).entries
    });
    let entries = entries.unwrap_or_default();
    let outcome = decision.map_or_else(Denied::outcome, |()| VaultOutcome::Admitted);
    Record::Deletion(Deletion {
        verdict: verdict(decision.is_ok()),
        reason: outcome.word(),
        user: user(request),
        dry_run: request.dry_run,
        request: request.uid.as_str().into(),
        vault: Vault {
            entries: entries
                .iter()
                .map(|edit| edit.entry.as_str().into())
                .collect(),
            key_id: text(data_key(stored), "keyId").map(Name::from),
            ..vault(request, stored)
        },
        message: decision.err().map(Into::into),
    })
}

/// A pod that is refused.
pub(super) fn injection(
    request: &AdmissionRequest<Pod>,
    outcome: PodOutcome,
    refusal: &Refusal,
) -> Record {
    let metadata = request.object.as_ref().map(|pod| &pod.metadata);
    let name = metadata.and_then(|it| it.name.as_deref().or(it.generate_name.as_deref()));
    let namespace = request.namespace.as_deref().unwrap_or_default();
    Record::Injection(Injection {
        verdict: Verdict::Denial,
        reason: outcome.word(),
        user: user(request),
        dry_run: request.dry_run,
        request: request.uid.as_str().into(),
        namespace: namespace.into(),
        name: name.unwrap_or_default().into(),
        message: refusal.into(),
    })
}

fn verdict(granted: bool) -> Verdict {
    if granted {
        Verdict::Grant
    } else {
        Verdict::Denial
    }
}

fn user<T: Resource>(request: &AdmissionRequest<T>) -> Option<Name> {
    request.user_info.username.as_deref().map(Name::from)
}

fn operation(request: &AdmissionRequest<DynamicObject>) -> Operation {
    match request.operation {
        Asked::Create => Operation::Create,
        Asked::Delete => Operation::Delete,
        Asked::Connect | Asked::Update => Operation::Update,
    }
}

/// The vault as it is stored.
fn vault(request: &AdmissionRequest<DynamicObject>, stored: Option<&DynamicObject>) -> Vault {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    Vault {
        namespace: namespace.into(),
        name: stored
            .map(ResourceExt::name_any)
            .unwrap_or_default()
            .as_str()
            .into(),
        uid: stored
            .and_then(ResourceExt::uid)
            .map(|uid| uid.as_str().into()),
        generation: stored.and_then(|stored| stored.metadata.generation),
        key_id: None,
        entries: Vec::new(),
    }
}

fn named(edits: &Edits) -> Change {
    let entries = |verb| {
        let entries = edits.entries.iter().filter(move |edit| edit.verb == verb);
        entries.map(|edit| edit.entry.as_str().into()).collect()
    };
    Change {
        created: entries(EditVerb::Create),
        changed: entries(EditVerb::Update),
        removed: entries(EditVerb::Delete),
        // There are not so many, but whoever writes an object can name more.
        fields: edits
            .fields
            .iter()
            .take(MOST_FIELDS)
            .map(|field| field.as_str().into())
            .collect(),
        data_key: None,
        key_id: None,
    }
}

const MOST_FIELDS: usize = 64;

fn data_key(vault: Option<&DynamicObject>) -> Option<&Value> {
    vault?.data.get("spec")?.get("dataKey")
}

fn text<'a>(object: Option<&'a Value>, member: &str) -> Option<&'a str> {
    object?.get(member)?.as_str()
}

/// What became of a data key.
fn turn(before: Option<&Value>, after: Option<&Value>) -> Option<Turn> {
    after?;
    if before.is_none() {
        return Some(Turn::New);
    }
    let same = |member| text(before, member) == text(after, member);
    if !same("provider") {
        Some(Turn::Migrate)
    } else if !same("id") {
        Some(Turn::Rekey)
    } else if !same("keyId") || !same("wrapped") {
        Some(Turn::Rewrap)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_became_of_a_data_key() {
        let key = |provider: &str, id: &str, wrapped: &str| json!({"provider": provider, "id": id, "keyId": "k", "wrapped": wrapped});
        let stored = key("default", "1", "w");
        for (after, expected) in [
            (key("default", "1", "w"), None),
            (key("default", "1", "v"), Some(Turn::Rewrap)),
            (key("default", "2", "v"), Some(Turn::Rekey)),
            (key("prod", "2", "v"), Some(Turn::Migrate)),
        ] {
            assert_eq!(turn(Some(&stored), Some(&after)), expected, "{after}");
        }
        assert_eq!(turn(None, Some(&stored)), Some(Turn::New));
        assert_eq!(turn(Some(&stored), None), None);
    }
}
