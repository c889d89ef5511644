//! What people do to vaults, in the audit log.

use secretvault_e2e::{Namespace, Vault, eventually, kubectl};
use serde_json::{Value, json};

use super::{Log, without_time};

const VALUE: &str = "value-that-is-in-no-line";

/// All lines about a vault, without what differs each time.
fn said(namespace: &Namespace, count: usize) -> Vec<Value> {
    let created = namespace.get(&format!("namespace/{}", namespace.name()));
    let since = created["metadata"]["creationTimestamp"].as_str().unwrap();
    eventually("the audit log has all lines", || {
        let log = Log::since(since);
        log.holds_none_of(&[crate::canary::Canary::text("value", VALUE)]);
        let lines = log.0.iter();
        let lines = lines.filter_map(|(_, line)| serde_json::from_str(line).ok());
        let ours = |line: &Value| {
            line["vault"]["namespace"] == namespace.name() && line["dryRun"] == json!(false)
        };
        let mut lines: Vec<Value> = lines.filter(ours).collect();
        lines.sort_by_key(|line| line["time"].as_str().unwrap_or_default().to_owned());
        let mut lines: Vec<Value> = lines.into_iter().map(without_time).collect();
        // The API server asks again where it first judged an older vault than the stored one.
        lines.dedup();
        if lines.len() >= count {
            Ok(lines)
        } else {
            Err(lines)
        }
    })
}

/// The members of a line that are named, in their order.
fn members(line: &Value, names: &[&str]) -> Vec<String> {
    let members = names.iter().filter(|name| !line[**name].is_null());
    members
        .map(|name| format!("{name} {}", line[*name]))
        .collect()
}

/// The members of the four lines, in their order.
fn each_begins_with_its_names(lines: &[Value]) {
    let names = [
        "audit",
        "verdict",
        "operation",
        "created",
        "changed",
        "removed",
        "fields",
    ];
    let said: Vec<_> = lines.iter().map(|line| members(line, &names)).collect();
    let expected = [
        vec![
            "audit \"admission\"",
            "verdict \"grant\"",
            "operation \"create\"",
            "created [\"db/host\",\"db/password\"]",
        ],
        vec![
            "audit \"admission\"",
            "verdict \"grant\"",
            "operation \"update\"",
            "created [\"smtp/token\"]",
            "removed [\"db/host\"]",
            "fields [\"spec.onDelete\"]",
        ],
        vec![
            "audit \"admission\"",
            "verdict \"denial\"",
            "operation \"update\"",
        ],
        vec!["audit \"deletion\"", "verdict \"grant\""],
    ];
    for (said, expected) in said.iter().zip(&expected) {
        assert!(
            said.iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .starts_with(expected),
            "{said:?}"
        );
    }
}

#[test]
fn whoever_creates_changes_or_deletes_a_vault_or_may_not_is_one_line_of_names() {
    let namespace = Namespace::create("audit-words");
    let vault = Vault::named("app").text("db/password", VALUE);
    let vault = vault.public("db/host", "db.shop.svc");
    let _ = vault.apply(&namespace).expect_success();
    let stored = vault.stored(&namespace);
    // One entry changed, one gone, one new; the third is written as it is.
    let edited = vault.clone().without("publicData", "db/host");
    let edited = edited
        .text("smtp/token", VALUE)
        .spec("onDelete", json!("Remove"));
    let _ = edited.apply(&namespace).expect_success();
    let broken = edited.clone().text("../db", VALUE);
    let _ = broken.apply(&namespace).expect_failure();
    let _ = namespace.kubectl(&["delete", "sv/app"]).expect_success();
    let lines = said(&namespace, 4);
    each_begins_with_its_names(&lines);
    let me = kubectl(&[
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ]);
    let me = me.expect_success();
    assert!(lines.iter().all(|line| line["user"] == *me), "{lines:?}");
    assert_eq!(lines[0]["dataKey"], "new");
    assert_eq!(lines[0]["keyId"], stored["spec"]["dataKey"]["keyId"]);
    assert_eq!(lines[3]["vault"]["uid"], stored["metadata"]["uid"]);
    assert_eq!(
        lines[3]["vault"]["entries"],
        json!(["db/password", "smtp/token"])
    );
    let why = lines[2]["message"].as_str().unwrap();
    assert!(why.contains("../db"), "{why}");
}
