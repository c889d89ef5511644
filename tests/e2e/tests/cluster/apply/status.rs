//! What the status says of a vault, and how people look at it.

use secretvault_e2e::{Namespace, Vault, eventually};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-status-with-a-length-of-its-own";

fn vault() -> Vault {
    Vault::named("app")
        .text("db/password", VALUE)
        .binary("tls/key.der", "AP8Q3q2+7w==")
        .public("db/host", "db.shop.svc")
}

fn entry<'a>(stored: &'a Value, name: &str) -> &'a Value {
    let entries = stored["status"]["entries"].as_array().unwrap();
    entries.iter().find(|it| it["name"] == name).unwrap()
}

#[test]
fn a_sealed_vault_is_ready_for_the_generation_that_was_applied() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    let _ = namespace
        .kubectl(&["wait", "--for=condition=Ready", "sv/app", "--timeout=5m"])
        .expect_success();
    let _ = vault()
        .text("db/password", "hunter3")
        .apply(&namespace)
        .expect_success();
    let stored = vault().wait_ready(&namespace);
    assert_eq!(stored["metadata"]["generation"], 2);
    assert_eq!(stored["status"]["observedGeneration"], 2);
    let ready = &stored["status"]["conditions"][0];
    assert_eq!(ready["type"], "Ready");
    assert_eq!(ready["reason"], "Sealed");
    assert_eq!(ready["observedGeneration"], 2);
}

#[test]
fn the_entries_have_name_key_and_time_and_nothing_of_a_value() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    let stored = vault().wait_ready(&namespace);
    let key_id = &stored["spec"]["dataKey"]["keyId"];
    for name in ["db/password", "tls/key.der"] {
        let entry = entry(&stored, name);
        assert_eq!(&entry["keyId"], key_id, "{name}");
        assert_eq!(entry["kind"], "Secret", "{name}");
        assert!(entry["sealedAt"].is_string(), "{name}");
        let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["keyId", "kind", "name", "revision", "sealedAt"]);
    }
    let public = entry(&stored, "db/host");
    assert_eq!(public["kind"], "Public");
    assert!(public["changedAt"].is_string(), "{public}");
    let fields: Vec<&String> = public.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["changedAt", "kind", "name", "revision"]);
    assert_eq!(stored["status"]["entryCount"], 3);
    let status = stored["status"].to_string();
    assert!(!status.contains(&VALUE[..6]), "{status}");
    assert!(!status.contains("sv1:"), "{status}");
}

#[test]
fn the_status_of_a_short_value_and_of_a_long_one_differ_in_revision_and_time_only() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    let short = vault().wait_ready(&namespace)["status"].clone();
    let long = vault().text("db/password", &VALUE.repeat(100));
    let _ = long.apply(&namespace).expect_success();
    let long = long.wait_ready(&namespace)["status"].clone();
    let anonymous = |mut status: Value| {
        for entry in status["entries"].as_array_mut().unwrap() {
            entry["revision"] = Value::Null;
            entry["sealedAt"] = Value::Null;
        }
        for field in ["contentGeneration", "contentRevision", "observedGeneration"] {
            assert!(!status[field].is_null(), "{field}");
            status[field] = Value::Null;
        }
        for condition in status["conditions"].as_array_mut().unwrap() {
            condition["observedGeneration"] = Value::Null;
        }
        status
    };
    assert_eq!(anonymous(long), anonymous(short));
}

#[test]
fn sealed_at_stays_with_a_value_and_moves_with_a_change() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().wait_ready(&namespace);
    // The API's times have whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let changed = vault().text("db/password", "hunter3");
    let _ = changed.apply(&namespace).expect_success();
    let after = changed.wait_ready(&namespace);
    assert_eq!(entry(&after, "tls/key.der"), entry(&before, "tls/key.der"));
    let times = [&before, &after].map(|it| entry(it, "db/password")["sealedAt"].as_str());
    assert!(times[0] < times[1], "{times:?}");
    assert_ne!(
        entry(&after, "db/password")["revision"],
        entry(&before, "db/password")["revision"]
    );
}

#[test]
fn an_entry_that_goes_leaves_the_status_and_an_event_names_it() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    vault().wait_ready(&namespace);
    let fewer = vault().without("binaryData", "tls/key.der");
    let _ = fewer.apply(&namespace).expect_success();
    let stored = fewer.wait_ready(&namespace);
    assert_eq!(stored["status"]["entryCount"], 2);
    assert!(!stored["status"].to_string().contains("tls/key.der"));
    let events = eventually("an Event names the entry", || {
        let events = namespace.events("app");
        if events.contains("removed tls/key.der") {
            Ok(events)
        } else {
            Err(events)
        }
    });
    assert!(
        events.contains("Sealed: sealed db/password, tls/key.der"),
        "{events}"
    );
}

#[test]
fn a_status_that_does_not_change_is_not_written_again() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().wait_ready(&namespace);
    // A label wakes the controller, which finds nothing to say.
    let _ = namespace
        .kubectl(&["label", "sv/app", "team=shop"])
        .expect_success();
    let _ = vault()
        .text("db/password", VALUE)
        .apply(&namespace)
        .expect_success();
    let other = Vault::named("later").text("a", "1");
    let _ = other.apply(&namespace).expect_success();
    other.wait_ready(&namespace);
    let after = vault().stored(&namespace);
    assert_eq!(after["status"], before["status"]);
    let writer = |stored: &Value| -> Vec<Value> {
        let fields = ["get", "sv/app", "-o", "json", "--show-managed-fields"];
        let shown = namespace.kubectl(&fields).expect_success();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["metadata"]["uid"], stored["metadata"]["uid"]);
        let fields = shown["metadata"]["managedFields"].as_array().unwrap();
        let of_status = fields.iter().filter(|it| it["subresource"] == "status");
        of_status.map(|it| it["manager"].clone()).collect()
    };
    assert_eq!(writer(&after), [json!("secretvault-operator")]);
}

#[test]
fn kubectl_get_shows_readiness_reason_entries_provider_and_consumers() {
    let namespace = Namespace::create("status");
    let _ = vault().apply(&namespace).expect_success();
    vault().wait_ready(&namespace);
    eventually("the status counts consumers", || {
        match namespace
            .field("sv/app", "{.status.consumerCount}")
            .as_str()
        {
            "0" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    let table = namespace.kubectl(&["get", "sv"]).expect_success();
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header = [
        "NAME",
        "READY",
        "REASON",
        "ENTRIES",
        "PROVIDER",
        "CONSUMERS",
        "STALE",
        "AGE",
    ];
    assert_eq!(lines.next().unwrap(), header);
    let row = lines.next().unwrap();
    assert_eq!(
        row[..7],
        ["app", "True", "Sealed", "3", "default", "0", "0"],
        "{table}"
    );
}

#[test]
fn a_vault_without_secrets_is_ready_and_has_no_data_key() {
    let namespace = Namespace::create("status");
    let public = Vault::named("public").public("host", "db.shop.svc");
    let _ = public.apply(&namespace).expect_success();
    let stored = public.wait_ready(&namespace);
    assert_eq!(stored["spec"].get("dataKey"), None);
    let empty = Vault::named("empty");
    let _ = empty.apply(&namespace).expect_success();
    let stored = empty.wait_ready(&namespace);
    assert_eq!(stored["status"]["conditions"][0]["reason"], "Empty");
}
