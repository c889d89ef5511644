use secretvault_crds::limits::{MAX_ENTRY_NAME, MAX_OWNER_ID};
use serde_json::{Map, Value, json};

use crate::fixture::{accepted, apply, refused, sealed_entries};

/// A vault with the entries a, b and c, and these file rules.
fn with_files(files: Value) -> Value {
    json!({"data": {"a": "sv1:", "b": "sv1:"}, "publicData": {"c": "sv1:"}, "files": files})
}

#[test]
fn a_mode_is_three_octal_digits_with_or_without_a_zero() {
    for mode in ["0400", "400", "0777", "000"] {
        accepted(apply(with_files(json!([{"entry": "a", "mode": mode}]))));
        accepted(apply(json!({"fileDefaults": {"mode": mode}})));
    }
    for mode in [
        "", "0", "44", "4400", "00400", "0800", "0o400", "rw-", " 400", "400 ",
    ] {
        refused(
            apply(with_files(json!([{"entry": "a", "mode": mode}]))),
            &["files[0].mode"],
        );
        refused(
            apply(json!({"fileDefaults": {"mode": mode}})),
            &["fileDefaults.mode"],
        );
    }
    refused(
        apply(json!({"fileDefaults": {"mode": 400}})),
        &["fileDefaults.mode: type"],
    );
}

#[test]
fn owners_are_from_0_to_4294967294() {
    for field in ["uid", "gid"] {
        for id in [0, i64::from(MAX_OWNER_ID)] {
            accepted(apply(with_files(json!([{"entry": "a", field: id}]))));
            accepted(apply(json!({"fileDefaults": {field: id}})));
        }
        for id in [-1, i64::from(MAX_OWNER_ID) + 1] {
            refused(
                apply(with_files(json!([{"entry": "a", field: id}]))),
                &[field, "imum"],
            );
            refused(
                apply(json!({"fileDefaults": {field: id}})),
                &[field, "imum"],
            );
        }
    }
}

#[test]
fn a_rule_is_for_an_entry_of_the_vault_whatever_its_map() {
    accepted(apply(with_files(json!([{"entry": "a"}, {"entry": "c"}]))));
    for spec in [
        with_files(json!([{"entry": "a"}, {"entry": "z"}])),
        json!({"files": [{"entry": "z"}]}),
    ] {
        refused(apply(spec), &["entry \"z\"", "not in the vault"]);
    }
}

#[test]
fn one_entry_has_one_rule() {
    let spec = with_files(json!([{"entry": "a"}, {"entry": "a", "path": "x"}]));
    refused(apply(spec), &["spec.files: duplicate"]);
}

#[test]
fn a_path_is_as_safe_as_an_entry_s_name() {
    for path in ["x", "x/y", ".x", "x..y", &"x".repeat(MAX_ENTRY_NAME)] {
        accepted(apply(with_files(json!([{"entry": "a", "path": path}]))));
    }
    for path in [
        "",
        "/x",
        "x/",
        "x//y",
        ".",
        "..",
        "../x",
        "x/../y",
        "..data",
        "x y",
        "kubernetes.io/x",
        &"x".repeat(MAX_ENTRY_NAME + 1),
    ] {
        refused(
            apply(with_files(json!([{"entry": "a", "path": path}]))),
            &["files[0]"],
        );
    }
}

#[test]
fn two_rules_do_not_land_at_one_path() {
    accepted(apply(with_files(
        json!([{"entry": "a", "path": "x"}, {"entry": "b", "path": "y"}]),
    )));
    accepted(apply(with_files(
        json!([{"entry": "a", "path": "b"}, {"entry": "b", "path": "a"}]),
    )));
    for files in [
        json!([{"entry": "a", "path": "x"}, {"entry": "b", "path": "x"}]),
        json!([{"entry": "a", "path": "b"}, {"entry": "b"}]),
        json!([{"entry": "a"}, {"entry": "b", "path": "a"}]),
    ] {
        refused(apply(with_files(files)), &["at one path"]);
    }
}

#[test]
fn a_rule_does_not_land_at_the_name_of_an_entry_without_a_rule() {
    accepted(apply(with_files(json!([{"entry": "a", "path": "a"}]))));
    for other in ["b", "c"] {
        let files = json!([{"entry": "a", "path": other}]);
        refused(
            apply(with_files(files)),
            &[&format!("entry \"{other}\""), "another path"],
        );
    }
}

#[test]
fn every_entry_may_have_a_rule_and_paths_are_compared_up_to_128() {
    let rules = |count: usize| {
        (0..count).map(|i| json!({"entry": format!("e{i}"), "path": format!("p{i}")}))
    };
    let spec = |files: Vec<Value>| json!({"data": sealed_entries("e", 500), "files": files});
    accepted(apply(spec(rules(500).collect())));
    let twice = |count: usize| {
        let mut files: Vec<Value> = rules(count).collect();
        files[count - 1]["path"] = json!("p0");
        spec(files)
    };
    refused(apply(twice(128)), &["at one path"]);
    accepted(apply(twice(129)));
    let mut entries: Map<String, Value> = sealed_entries("e", 500).as_object().unwrap().clone();
    entries.insert("e500".to_owned(), json!("sv1:"));
    refused(
        apply(json!({"files": rules(501).collect::<Vec<_>>()})),
        &["files: maxItems"],
    );
}
