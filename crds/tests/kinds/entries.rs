use secretvault_crds::generate::secret_vault_definition;
use secretvault_crds::limits::{MAX_ENTRIES, MAX_ENTRY_NAME, MAX_SEALED_TOTAL};
use serde_json::{Value, json};

use crate::fixture::{CANARY, accepted, apply, refused, sealed_entries};

const MAPS: [&str; 4] = ["data", "binaryData", "publicData", "publicBinaryData"];

fn one(map: &str, name: &str) -> Value {
    json!({map: {name: "sv1:AAAA"}})
}

#[test]
fn the_design_s_example_is_accepted_once_it_is_sealed() {
    accepted(apply(json!({
        "description": "What the shop's web tier needs",
        "data": {"db/password": "sv1:AAAA", "smtp/token": "git1:AAAA"},
        "binaryData": {"tls/key.der": "sv1:AAAA"},
        "publicData": {"db/host": "db.shop.svc"},
        "fileDefaults": {"uid": 0, "gid": 0, "mode": "0444"},
        "files": [{"entry": "db/password", "path": "db_password", "uid": 999, "gid": 999, "mode": "0400"}],
        "access": [
            {"serviceAccounts": ["web"], "podSelector": {"matchLabels": {"app": "web"}}, "entries": ["db/**"]},
            {"namespaces": {"names": ["batch"]}, "serviceAccounts": ["*"], "entries": ["smtp/token"]},
        ],
        "keyProvider": "default",
        "onDelete": "Remove",
        "dataKey": {
            "provider": "default", "keyId": "0123456789abcdef", "id": "0".repeat(32),
            "wrapped": "AAAA", "rekey": 0,
        },
    })));
}

#[test]
fn an_empty_vault_is_accepted() {
    accepted(apply(json!({})));
    accepted(apply(json!({"data": {}, "files": []})));
}

#[test]
fn a_plain_value_is_refused_and_not_repeated() {
    for map in ["data", "binaryData"] {
        for plain in [
            CANARY,
            "",
            "sv1",
            "sv2:x",
            "xsv1:",
            "SV1:AAAA",
            " sv1:AAAA",
            "git1",
        ] {
            let spec = json!({map: {"a": "sv1:AAAA", "b": plain}});
            refused(
                apply(spec),
                &[map, "every value must be sealed", "admission webhook"],
            );
        }
    }
    for map in ["publicData", "publicBinaryData"] {
        accepted(apply(json!({map: {"a": CANARY, "b": ""}})));
    }
}

#[test]
fn a_value_that_is_no_text_is_refused() {
    for map in MAPS {
        let other_types = [
            json!(true),
            json!({"a": "sv1:"}),
            json!(["sv1:"]),
            Value::Null,
        ];
        for value in other_types {
            refused(apply(json!({map: {"a": value}})), &["spec.", "type"]);
        }
    }
    // In data and binaryData the API server takes the failure of a rule on a number as a refusal,
    // which the tests on a cluster show.
    for map in ["publicData", "publicBinaryData"] {
        refused(apply(json!({map: {"a": 1}})), &["spec.", "type"]);
    }
}

#[test]
fn a_secret_value_has_no_type_that_the_api_server_would_complain_about_by_value() {
    let definition = serde_json::to_value(secret_vault_definition()).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    for map in ["data", "binaryData"] {
        let values = format!("{spec}/{map}/additionalProperties");
        let values = definition.pointer(&values).unwrap();
        assert_eq!(values.get("type"), None, "{map}");
        assert_eq!(values["x-kubernetes-int-or-string"], true, "{map}");
    }
}

#[test]
fn an_entry_s_name_has_at_most_253_characters_in_every_map() {
    for map in MAPS {
        accepted(apply(one(map, &"x".repeat(MAX_ENTRY_NAME))));
        let name = "x".repeat(MAX_ENTRY_NAME + 1);
        refused(
            apply(one(map, &name)),
            &[map, "xxxx…\"", "at most 253 characters"],
        );
    }
}

#[test]
fn an_entry_s_name_is_a_safe_path_in_every_map() {
    for map in MAPS {
        for name in [
            "a",
            "a/b/c",
            "A.b_c-1",
            "a..b",
            ".a",
            "kubernetes.io.x",
            "a/kubernetes.io",
        ] {
            accepted(apply(one(map, name)));
        }
        for name in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/.",
            "a/..",
            "../a",
            "a/../b",
            "./a",
            "a/./b",
            "..data",
            "a/..data",
            "a b",
            "a\\b",
            "ä",
            "a*",
            "a=b",
            "a,b",
            "kubernetes.io",
            "kubernetes.io/serviceaccount/token",
        ] {
            refused(
                apply(one(map, name)),
                &[map, &format!("entry \"{name}\""), "segments of letters"],
            );
        }
    }
}

#[test]
fn a_name_that_would_break_a_message_is_refused_all_the_same() {
    for name in ["a\nb", "a\0b", "a'b", "a\"b", "a\\'b"] {
        refused(apply(one("data", name)), &["segments of letters"]);
    }
}

#[test]
fn a_vault_has_at_most_500_entries_over_all_maps() {
    for map in MAPS {
        accepted(apply(json!({map: sealed_entries("e", MAX_ENTRIES)})));
        refused(
            apply(json!({map: sealed_entries("e", MAX_ENTRIES + 1)})),
            &[map, "maxProperties"],
        );
    }
    let spread = |last| {
        json!({
            "data": sealed_entries("a", 200), "binaryData": sealed_entries("b", 100),
            "publicData": sealed_entries("c", 100), "publicBinaryData": sealed_entries("d", last),
        })
    };
    accepted(apply(spread(100)));
    refused(
        apply(spread(101)),
        &["more than 500 entries in all", "second vault"],
    );
}

#[test]
fn a_vault_has_at_most_a_mebibyte_of_sealed_values() {
    let half = MAX_SEALED_TOTAL / 2;
    let sealed = |length: usize| format!("sv1:{}", "A".repeat(length - 4));
    let spread =
        |more| json!({"data": {"a": sealed(half)}, "binaryData": {"b": sealed(half + more)}});
    accepted(apply(spread(0)));
    refused(apply(spread(1)), &["more than 1048576 characters"]);
    accepted(apply(json!({"data": {"a": sealed(MAX_SEALED_TOTAL)}})));
    refused(
        apply(json!({"data": {"a": sealed(MAX_SEALED_TOTAL + 1)}})),
        &["1048576"],
    );
    refused(
        apply(json!({"binaryData": {"a": sealed(MAX_SEALED_TOTAL + 1)}})),
        &["1048576"],
    );
}

#[test]
fn a_name_in_two_maps_is_refused_for_each_pair() {
    for (index, one) in MAPS.iter().enumerate() {
        for other in &MAPS[index + 1..] {
            accepted(apply(json!({*one: {"a": "sv1:"}, *other: {"b": "sv1:"}})));
            let both =
                json!({*one: {"a": "sv1:", "x": "sv1:"}, *other: {"b": "sv1:", "x": "sv1:"}});
            refused(
                apply(both),
                &["entry \"x\"", one, other, "keep one of the two"],
            );
        }
    }
}

#[test]
fn an_unknown_field_is_named() {
    refused(
        apply(json!({"dataa": {"a": CANARY}})),
        &["spec.dataa: unknown"],
    );
}

#[test]
fn a_data_key_is_whole() {
    let key = json!({
        "provider": "default", "keyId": "k", "id": "0".repeat(32), "wrapped": "AAAA", "rekey": 0,
    });
    accepted(apply(json!({"dataKey": key})));
    for field in ["provider", "keyId", "id", "wrapped", "rekey"] {
        let mut part = key.clone();
        part.as_object_mut().unwrap().remove(field);
        refused(apply(json!({"dataKey": part})), &[field, "required"]);
    }
    for (field, value) in [
        ("provider", json!("")),
        ("keyId", json!("")),
        ("wrapped", json!("")),
        ("id", json!("0".repeat(31))),
        ("id", json!("0".repeat(33))),
        ("id", json!("A".repeat(32))),
        ("rekey", json!(-1)),
        ("rekey", json!(4_294_967_296_u64)),
    ] {
        let mut wrong = key.clone();
        wrong[field] = value;
        refused(apply(json!({"dataKey": wrong})), &[field]);
    }
}

#[test]
fn a_data_key_says_when_it_was_made_and_what_the_values_were_before() {
    let made = |created: &str, from: &str, to: &str| {
        apply(json!({"dataKey": {
            "provider": "default", "keyId": "k", "id": "0".repeat(32), "wrapped": "AAAA",
            "rekey": 1, "created": created, "resealed": {"from": from, "to": to},
        }}))
    };
    let (time, revision) = ("2026-11-27T00:00:00Z", "0123456789abcdef");
    accepted(made(time, revision, revision));
    refused(made(time, "0123456789abcde", revision), &["resealed.from"]);
    refused(made(time, revision, "0123456789ABCDEF"), &["resealed.to"]);
}

#[test]
fn the_greatest_age_of_a_data_key_is_a_length_of_time() {
    for span in ["90s", "15m", "12h", "90d", "99999d"] {
        accepted(apply(json!({"rekeyAfter": span})));
    }
    for span in ["", "90", "0d", "1.5h", "-1d", "1w", "100000d"] {
        refused(apply(json!({"rekeyAfter": span})), &["spec.rekeyAfter"]);
    }
}

#[test]
fn small_fields_have_their_limits() {
    accepted(apply(json!({"description": "x".repeat(1024)})));
    refused(
        apply(json!({"description": "x".repeat(1025)})),
        &["description: maxLength"],
    );
    for provider in ["default", "a", "a.b-c", &"a".repeat(253)] {
        accepted(apply(json!({"keyProvider": provider})));
    }
    for provider in ["", "A", "-a", "a-", "a..b", "a/b", "a_b", &"a".repeat(254)] {
        refused(
            apply(json!({"keyProvider": provider})),
            &["spec.keyProvider"],
        );
    }
    accepted(apply(json!({"onDelete": "Retain"})));
    refused(
        apply(json!({"onDelete": "retain"})),
        &["spec.onDelete: enum"],
    );
}
