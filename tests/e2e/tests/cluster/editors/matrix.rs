//! Each requester tries each change. What should come of it is written here once more, apart from any
//! code that decides it.

use secretvault_e2e::Namespace;
use serde_json::Value;

use super::people::{ADMIN, DBA, DEPLOYER, JANE, PIPELINE, STRANGER, Who};
use super::{PASSWORD, store};

/// By a rule, Jane creates and updates below db, Dora (dba) deletes in db, the deployer updates in smtp,
/// and the pipeline does everything to every entry. Mallory has none. Adam has the verb manage.
const EXPECTED: &str = r#"
jane dora depl pipe mall adam  merge patch of the vault
y    n    n    y    n    y     {"spec": {"data": {"db/new": "v"}}}
y    n    n    y    n    y     {"spec": {"data": {"db/a/b/new": "v"}}}
n    n    n    y    n    y     {"spec": {"data": {"new": "v"}}}
n    n    n    y    n    y     {"spec": {"data": {"smtp/new": "v"}}}
y    n    n    y    n    y     {"spec": {"data": {"db/password": "v"}}}
y    n    n    y    n    y     {"spec": {"data": {"db/password": "PASSWORD"}}}
n    n    y    y    n    y     {"spec": {"data": {"smtp/token": "v"}}}
n    n    n    y    n    y     {"spec": {"data": {"smtp/token": null}}}
n    y    n    y    n    y     {"spec": {"data": {"db/password": null}, "files": null}}
n    n    n    y    n    y     {"spec": {"data": {"db/password": null, "db/pw": "v"}, "files": null}}
n    n    n    y    n    y     {"spec": {"data": {"db/password": "v", "smtp/token": "v"}}}
n    n    y    y    n    y     {"spec": {"publicData": {"smtp/host": "evil"}}}
y    n    n    y    n    y     {"spec": {"data": {"db/password": null}, "publicData": {"db/password": "v"}}}
y    n    n    y    n    y     {"spec": {"binaryData": {"db/key": "AAEC"}}}
n    n    n    y    n    y     {"spec": {"publicBinaryData": {"smtp/ca": "AAEC"}}}
y    n    n    y    n    y     {"spec": {"files": [{"entry": "db/password", "mode": "0444"}]}}
y    n    n    y    n    y     {"spec": {"files": [{"entry": "db/password", "mode": "0400", "path": "db/pw"}]}}
n    n    n    y    n    y     {"spec": {"files": [{"entry": "db/password", "mode": "0400", "path": "tls/ca.crt"}]}}
n    n    n    y    n    y     {"spec": {"files": [{"entry": "smtp/token", "mode": "0400"}]}}
n    n    n    n    n    y     {"spec": {"description": "words"}}
n    n    n    n    n    y     {"spec": {"fileDefaults": {"uid": 1}}}
n    n    n    n    n    y     {"spec": {"onDelete": "Remove"}}
n    n    n    n    n    y     {"spec": {"immutable": true}}
n    n    n    n    n    y     {"spec": {"freshEnvelopes": true}}
n    n    n    n    n    y     {"spec": {"rekeyAfter": "90d"}}
n    n    n    n    n    y     {"spec": {"dataKey": {"rekey": 1}}}
n    n    n    n    n    y     {"spec": {"access": [{"serviceAccounts": ["*"]}]}}
n    n    n    n    n    y     {"spec": {"editors": null}}
n    n    n    n    n    y     {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}}
y    y    y    y    y    y     {"metadata": {"labels": {"a": "b"}}}
y    y    y    y    y    y     {"metadata": {"annotations": {"a": "b"}}}
y    y    y    y    y    y     {"spec": {}}
"#;

#[test]
fn every_requester_may_make_the_changes_that_the_rules_let_him_and_no_other() {
    let namespace = Namespace::create("editors");
    let _ = store(&namespace);
    let editors = [JANE, DBA, DEPLOYER, PIPELINE, STRANGER];
    let editors = editors.map(|name| Who::bound(&namespace, name, "edit"));
    let admin = Who::bound(&namespace, ADMIN, "admin");
    let mut lines = EXPECTED.trim().lines();
    let heads = lines.next().unwrap();
    println!("{heads}");
    let mut wrong = Vec::new();
    for line in lines {
        let (expected, patch) = line.split_at(line.find('{').unwrap());
        let patch: Value = serde_json::from_str(&patch.replace("PASSWORD", PASSWORD)).unwrap();
        let people = editors.iter().chain([&admin]);
        let answers: Vec<_> = people.map(|who| who.try_patch(&patch)).collect();
        let found = answers
            .iter()
            .map(|it| if it.succeeded { "y" } else { "n" });
        let found: Vec<&str> = found.collect();
        println!("{}     {patch}", found.join("    "));
        if found != expected.split_whitespace().collect::<Vec<_>>() {
            let complaints = answers.iter().map(|answer| answer.stderr.trim());
            wrong.push(format!(
                "{line}\n{}",
                complaints.collect::<Vec<_>>().join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{heads}\n{}", wrong.join("\n"));
}
