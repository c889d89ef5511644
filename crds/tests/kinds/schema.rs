//! The part of a schema that is not CEL, judged as the API server does. Only what our schemas use.

use regex::Regex;
use serde_json::{Map, Value};

/// What an object breaks: `path: keyword`.
pub(crate) fn violations(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    let kind = schema["type"]
        .as_str()
        .or(int_or_string.then_some("int-or-string"));
    let fits = match kind.unwrap() {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "int-or-string" => value.is_i64() || value.is_u64() || value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("{path}: type {other} is not ours"),
    };
    if !fits {
        return vec![format!("{path}: type")];
    }
    found.extend(sizes(schema, value, path));
    let mut refuse = |keyword: &str| found.push(format!("{path}: {keyword}"));
    let number = value.as_f64();
    if number
        .zip(schema["maximum"].as_f64())
        .is_some_and(|(number, limit)| number > limit)
    {
        refuse("maximum");
    }
    if number
        .zip(schema["minimum"].as_f64())
        .is_some_and(|(number, limit)| number < limit)
    {
        refuse("minimum");
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|values| !values.contains(value))
    {
        refuse("enum");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        refuse("pattern");
    }
    found.extend(within(schema, value, path));
    found
}

fn sizes(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let size = match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::String(text) => text.chars().count(),
        Value::Bool(_) | Value::Null | Value::Number(_) => 0,
    };
    for keyword in ["maxItems", "maxLength", "maxProperties"] {
        if schema[keyword]
            .as_u64()
            .is_some_and(|limit| size as u64 > limit)
        {
            found.push(format!("{path}: {keyword}"));
        }
    }
    for keyword in ["minItems", "minLength", "minProperties"] {
        if schema[keyword]
            .as_u64()
            .is_some_and(|limit| (size as u64) < limit)
        {
            found.push(format!("{path}: {keyword}"));
        }
    }
    found
}

fn within(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Array(items) => {
            let of_items = items.iter().enumerate().flat_map(|(index, item)| {
                violations(&schema["items"], item, &format!("{path}[{index}]"))
            });
            of_items.chain(duplicates(schema, items, path)).collect()
        }
        Value::Object(fields) => of_fields(schema, fields, path),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn of_fields(schema: &Value, fields: &Map<String, Value>, path: &str) -> Vec<String> {
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required
        .filter_map(Value::as_str)
        .filter(|name| !fields.contains_key(*name))
        .map(|name| format!("{path}.{name}: required"));
    let wrong = fields.iter().flat_map(|(name, value)| {
        let path = format!("{path}.{name}");
        match (
            schema["properties"].get(name),
            schema.get("additionalProperties"),
        ) {
            (Some(property), _) => violations(property, value, &path),
            (None, Some(values)) => violations(values, value, &path),
            (None, None) if schema.get("properties").is_none() => Vec::new(),
            (None, None) => vec![format!("{path}: unknown")],
        }
    });
    missing.chain(wrong).collect()
}

/// `x-kubernetes-list-type: map`: no two items with one key.
fn duplicates(schema: &Value, items: &[Value], path: &str) -> Option<String> {
    let key = schema["x-kubernetes-list-map-keys"][0].as_str()?;
    let mut keys: Vec<&str> = items.iter().filter_map(|item| item[key].as_str()).collect();
    keys.sort_unstable();
    keys.windows(2)
        .any(|pair| pair[0] == pair[1])
        .then(|| format!("{path}: duplicate"))
}
