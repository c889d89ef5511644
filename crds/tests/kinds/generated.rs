use std::{fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use secretvault_crds::generate::{files, key_provider_definition, secret_vault_definition};

#[test]
fn the_committed_definitions_are_those_of_the_code() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for (name, text) in files().unwrap() {
        let committed = fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(
            committed == text,
            "crds/generated/{name} is not what the code says: run \
             `cargo run -p secretvault-crds --bin crdgen -- crds/generated`"
        );
    }
}

#[test]
fn every_field_is_explained() {
    let mut missing = Vec::new();
    for definition in [secret_vault_definition(), key_provider_definition()] {
        let schema = definition.spec.versions[0].schema.clone().unwrap();
        walk(
            &schema.open_api_v3_schema.unwrap(),
            &definition.spec.names.kind,
            &mut |path, field| {
                if field.description.as_deref().is_none_or(str::is_empty) {
                    missing.push(path.to_owned());
                }
            },
        );
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// `pattern`, `format` and `enum` make the API server repeat the value that they refuse.
#[test]
fn nothing_in_the_schema_repeats_a_value() {
    let definition = secret_vault_definition();
    let schema = definition.spec.versions[0]
        .schema
        .clone()
        .unwrap()
        .open_api_v3_schema
        .unwrap();
    let mut seen = 0;
    walk(&schema, "SecretVault", &mut |path, field| {
        let maps = ["data", "binaryData", "publicData", "publicBinaryData"];
        if maps
            .iter()
            .any(|map| path == format!("SecretVault.spec.{map}"))
        {
            seen += 1;
            let Some(JSONSchemaPropsOrBool::Schema(value)) = &field.additional_properties else {
                panic!("{path} is a map");
            };
            assert_eq!(
                (&value.pattern, &value.format, &value.enum_),
                (&None, &None, &None)
            );
            assert_eq!(value.x_kubernetes_validations, None);
            for rule in field.x_kubernetes_validations.iter().flatten() {
                let expression = rule.message_expression.as_deref().unwrap_or_default();
                assert!(!expression.contains("self["), "{path}: {expression}");
            }
        }
    });
    assert_eq!(seen, 4);
}

#[test]
fn every_rule_has_a_static_message() {
    for definition in [secret_vault_definition(), key_provider_definition()] {
        let schema = definition.spec.versions[0].schema.clone().unwrap();
        walk(
            &schema.open_api_v3_schema.unwrap(),
            "",
            &mut |path, field| {
                for rule in field.x_kubernetes_validations.iter().flatten() {
                    assert!(rule.message.is_some(), "{path}: {}", rule.rule);
                }
            },
        );
    }
}

#[test]
fn the_names_that_users_type_are_there() {
    let vault = secret_vault_definition().spec;
    assert_eq!(
        (vault.names.plural.as_str(), vault.scope.as_str()),
        ("secretvaults", "Namespaced")
    );
    assert_eq!(vault.names.short_names.unwrap(), ["sv"]);
    // Not `secretvault`: kubectl would take the kind's singular for the category.
    assert_eq!(vault.names.categories.unwrap(), ["secretvault-dev"]);
    let provider = key_provider_definition().spec;
    assert_eq!(
        (provider.names.plural.as_str(), provider.scope.as_str()),
        ("keyproviders", "Cluster")
    );
    assert_eq!(provider.names.short_names.unwrap(), ["kp"]);
    assert!(
        provider.versions[0]
            .subresources
            .as_ref()
            .unwrap()
            .status
            .is_some()
    );
}

fn walk(schema: &JSONSchemaProps, path: &str, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items
        && items.properties.is_some()
    {
        walk(items, &format!("{path}[]"), visit);
    }
}
