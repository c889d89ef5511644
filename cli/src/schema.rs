//! What the API server would say of a manifest's form: the schema of the kind, walked.
//!
//! # Guarantees
//! No problem quotes what a manifest holds, only what the schema wants.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use secretvault_crds::generate::secret_vault_definition;
use serde_json::Value;

use crate::nearest::nearest;

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The field, such as `spec.files[2].mode`.
    pub(crate) field: String,
    /// What is wrong, and what is wanted.
    pub(crate) problem: String,
}

/// The first part of a spec that does not fit the schema.
pub(crate) fn misfit(spec: &Value) -> Option<Misfit> {
    let definition = secret_vault_definition();
    let version = definition.spec.versions.into_iter().next()?;
    let root = version.schema?.open_api_v3_schema?;
    let schema = root.properties?.remove("spec")?;
    examine("spec", spec, &schema)
}

fn examine(field: &str, value: &Value, schema: &JSONSchemaProps) -> Option<Misfit> {
    let problem = wrong_type(value, schema)
        .or_else(|| out_of_bounds(value, schema))
        .map(|problem| Misfit {
            field: field.to_owned(),
            problem,
        });
    problem.or_else(|| match value {
        Value::Array(items) => examine_items(field, items, schema),
        Value::Object(fields) => examine_fields(field, fields, schema),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => None,
    })
}

fn examine_items(field: &str, items: &[Value], schema: &JSONSchemaProps) -> Option<Misfit> {
    let Some(JSONSchemaPropsOrArray::Schema(of)) = &schema.items else {
        return None;
    };
    let mut items = items.iter().enumerate();
    items.find_map(|(index, item)| examine(&format!("{field}[{index}]"), item, of))
}

fn examine_fields(
    field: &str,
    fields: &serde_json::Map<String, Value>,
    schema: &JSONSchemaProps,
) -> Option<Misfit> {
    let mut required = schema.required.iter().flatten();
    if let Some(name) = required.find(|name| !fields.contains_key(*name)) {
        return Some(Misfit {
            field: format!("{field}.{name}"),
            problem: "is needed".to_owned(),
        });
    }
    let known = schema.properties.as_ref();
    fields.iter().find_map(|(name, value)| {
        if let Some(of) = known.and_then(|known| known.get(name)) {
            return examine(&format!("{field}.{name}"), value, of);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(of)) = &schema.additional_properties {
            return examine(&format!("{field}[{name}]"), value, of);
        }
        let known = known.into_iter().flatten().map(|(name, _)| name.as_str());
        let meant = nearest(name, known);
        let hint = meant.map_or_else(String::new, |it| format!(": did you mean {it}?"));
        Some(Misfit {
            field: format!("{field}.{name}"),
            problem: format!("there is no such field{hint}"),
        })
    })
}

fn wrong_type(value: &Value, schema: &JSONSchemaProps) -> Option<String> {
    // The text of a secret value has no type in the schema: sealing says what is wrong with it.
    let wanted = schema.type_.as_deref()?;
    let fits = match wanted {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => true,
    };
    let remedy = match (wanted, value) {
        ("string", Value::Bool(_) | Value::Number(_)) => ": put quotes around it",
        _ => "",
    };
    (!fits).then(|| format!("must be of type {wanted}{remedy}"))
}

fn out_of_bounds(value: &Value, schema: &JSONSchemaProps) -> Option<String> {
    if let Some(choices) = &schema.enum_
        && !choices.iter().any(|choice| choice.0 == *value)
    {
        let choices = choices.iter().filter_map(|choice| choice.0.as_str());
        let choices: Vec<&str> = choices.collect();
        return Some(format!("must be one of {}", choices.join(", ")));
    }
    let length = match value {
        Value::Array(items) => Some((items.len(), schema.min_items, schema.max_items)),
        Value::Object(fields) => Some((fields.len(), schema.min_properties, schema.max_properties)),
        Value::String(text) => Some((text.chars().count(), schema.min_length, schema.max_length)),
        Value::Bool(_) | Value::Null | Value::Number(_) => None,
    };
    if let Some((length, least, most)) = length {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if let Some(least) = least.filter(|least| length < *least) {
            return Some(format!("must have at least {least}, and has {length}"));
        }
        if let Some(most) = most.filter(|most| length > *most) {
            return Some(format!("must have at most {most}, and has {length}"));
        }
    }
    let number = value.as_f64()?;
    let below = schema.minimum.filter(|least| number < *least);
    let above = schema.maximum.filter(|most| number > *most);
    below
        .map(|least| format!("must be at least {least}"))
        .or_else(|| above.map(|most| format!("must be at most {most}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(spec: &Value) -> String {
        let misfit = misfit(spec).unwrap();
        format!("{}: {}", misfit.field, misfit.problem)
    }

    #[test]
    fn what_fits_is_taken() {
        let spec = json!({
            "description": "x", "data": {"a": "1"}, "files": [{"entry": "a", "mode": "0400"}],
            "access": [{"serviceAccounts": ["web"], "namespaces": {"names": ["a"]}}],
            "onDelete": "Remove", "immutable": true, "fileDefaults": {"uid": 1},
        });
        assert_eq!(misfit(&spec), None);
        assert_eq!(misfit(&json!({})), None);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_field_and_the_remedy() {
        for (spec, expected) in [
            (
                json!({"files": [{"entry": "a"}, {"entry": "b", "mode": 256}]}),
                "spec.files[1].mode: must be of type string: put quotes around it",
            ),
            (json!({"files": [{}]}), "spec.files[0].entry: is needed"),
            (
                json!({"fileDefaults": {"uids": 1}}),
                "spec.fileDefaults.uids: there is no such field: did you mean uid?",
            ),
            (
                json!({"onDelete": "Keep"}),
                "spec.onDelete: must be one of Remove, Retain",
            ),
            (
                json!({"access": []}),
                "spec.access: must have at least 1, and has 0",
            ),
            (
                json!({"fileDefaults": {"uid": -1}}),
                "spec.fileDefaults.uid: must be at least 0",
            ),
            (
                json!({"publicData": {"a": 1}}),
                "spec.publicData[a]: must be of type string: put quotes around it",
            ),
            (json!([]), "spec: must be of type object"),
        ] {
            assert_eq!(said(&spec), expected);
        }
    }
}
