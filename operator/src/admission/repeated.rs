//! An apply that changes nothing is no write.
//!
//! The API server notes in `managedFields` who changed what, and when, *before* it asks admission:
//! there a manifest's plain value stands in the place of an envelope and looks like a change. Where
//! the sealed object turns out to be the stored one, the stored notes come back too. Else the note's
//! new time, and its new place among notes that are sorted by time, would be a new
//! `resourceVersion` and an event for every watcher.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::core::DynamicObject;
use secretvault_seal::Change;
use serde_json::Value;

/// Makes the changes in the object itself, and gives `take` what stood there before.
pub(super) fn apply(object: &mut DynamicObject, changes: &[Change], take: impl Fn(Value)) {
    let mut annotations = object.metadata.annotations.take().unwrap_or_default();
    if let Some(spec) = object.data.get_mut("spec") {
        let before = changes.iter();
        let before = before.filter_map(|change| change.make(spec, &mut annotations));
        before.for_each(take);
    }
    object.metadata.annotations = Some(annotations).filter(|it| !it.is_empty());
}

/// The change that brings the stored managers back, if their times and order are all that the
/// sealed object would change.
pub(super) fn stored_managers(sealed: &DynamicObject, stored: &DynamicObject) -> Option<Change> {
    let [new, old] = [sealed, stored].map(|it| it.metadata.managed_fields.as_deref());
    let (new, old) = (new?, old?);
    let repeated = new != old
        && same_but_for_time(new, old)
        && sealed.data.get("spec") == stored.data.get("spec")
        && written(&sealed.metadata) == written(&stored.metadata);
    repeated.then_some(Change {
        pointer: "/metadata/managedFields".to_owned(),
        value: serde_json::to_value(old).ok()?,
    })
}

/// Whether the same managers hold the same fields, whatever the order. A manager has one entry for
/// each version, operation and subresource.
fn same_but_for_time(new: &[ManagedFieldsEntry], old: &[ManagedFieldsEntry]) -> bool {
    let timeless = |entry: &ManagedFieldsEntry| ManagedFieldsEntry {
        time: None,
        ..entry.clone()
    };
    let new: Vec<_> = new.iter().map(timeless).collect();
    new.len() == old.len() && old.iter().map(timeless).all(|entry| new.contains(&entry))
}

/// The metadata that requesters write.
fn written(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        generation: None,
        managed_fields: None,
        resource_version: None,
        ..metadata.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    fn object(value: &str, managers: &[(&str, &str)]) -> DynamicObject {
        let managers: Vec<Value> = managers
            .iter()
            .map(|(manager, time)| {
                json!({
                    "manager": manager,
                    "operation": "Apply",
                    "fieldsV1": {"f:spec": {"f:data": {"f:a": {}}}},
                    "time": format!("2026-01-01T00:00:{time}Z"),
                })
            })
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "app", "managedFields": managers},
            "spec": {"data": {"a": value}},
        }))
        .unwrap()
    }

    fn kept(new: &DynamicObject, old: &DynamicObject) -> Option<Value> {
        stored_managers(new, old).map(|change| change.value)
    }

    #[test]
    fn times_and_order_of_managers_are_put_back_where_nothing_else_changed() {
        let old = object("sv1:A", &[("kubectl", "01"), ("operator", "02")]);
        let managers = serde_json::to_value(&old.metadata.managed_fields).unwrap();
        let later = object("sv1:A", &[("kubectl", "03"), ("operator", "02")]);
        assert_eq!(kept(&later, &old), Some(managers.clone()));
        let moved = object("sv1:A", &[("operator", "02"), ("kubectl", "03")]);
        assert_eq!(kept(&moved, &old), Some(managers));
        assert_eq!(kept(&old, &old), None, "there is nothing to put back");
    }

    #[test]
    fn a_change_of_anything_else_is_noted_as_the_api_server_noted_it() {
        let old = object("sv1:A", &[("kubectl", "01")]);
        assert_eq!(kept(&object("sv1:B", &[("kubectl", "03")]), &old), None);
        assert_eq!(kept(&object("sv1:A", &[("other", "03")]), &old), None);
        let more = object("sv1:A", &[("kubectl", "03"), ("other", "03")]);
        assert_eq!(kept(&more, &old), None);
        let mut labelled = object("sv1:A", &[("kubectl", "03")]);
        labelled.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
        assert_eq!(kept(&labelled, &old), None);
    }

    #[test]
    fn changes_are_made_in_place_and_what_they_replace_is_handed_over() {
        let mut object = object("hunter2", &[]);
        let change = |pointer: &str, value: Value| Change {
            pointer: pointer.to_owned(),
            value,
        };
        let changes = [
            change("/spec/data/a", json!("sv1:A")),
            change("/spec/data/b~1c", json!("sv1:B")),
            change("/spec/dataKey", json!({"rekey": 0})),
            change("/metadata/annotations/example.com~1note", json!("(sealed)")),
        ];
        let taken = RefCell::new(Vec::new());
        apply(&mut object, &changes, |value| {
            taken.borrow_mut().push(value);
        });
        assert_eq!(taken.into_inner(), ["hunter2"]);
        let expected = json!({"data": {"a": "sv1:A", "b/c": "sv1:B"}, "dataKey": {"rekey": 0}});
        assert_eq!(object.data["spec"], expected);
        let annotations = object.metadata.annotations.unwrap();
        assert_eq!(annotations["example.com/note"], "(sealed)");
    }
}
