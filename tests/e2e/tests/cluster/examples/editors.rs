//! Who may write what.

use secretvault_e2e::{Answer, eventually, kubectl, root};

use super::Example;

const DBA: &[&str] = &["--as=dora", "--as-group=example-dba"];
const PIPELINE: &[&str] = &["--as=system:serviceaccount:example-editors:mail-pipeline"];

const PLATFORM: &[&str] = &["--server-side", "--field-manager=platform"];

/// The README's `apply`.
fn apply(team: &str, who: &[&str]) -> Answer {
    let file = root().join(format!("examples/editors/teams/{team}.yaml"));
    let manager = format!("--field-manager={team}");
    let apply = [
        "apply",
        "--server-side",
        &manager,
        "-f",
        file.to_str().unwrap(),
    ];
    kubectl(&[&apply, who].concat())
}

#[test]
fn editors() {
    let example = Example::apply_with("editors", PLATFORM);
    eventually("the roles are bound", || {
        let can_i = ["auth", "can-i", "patch", "secretvaults"];
        let dba = example.kubectl(&[&can_i, DBA].concat()).into_result()?;
        let pipeline = example.kubectl(&[&can_i, PIPELINE].concat());
        pipeline.into_result().map(|_| dba)
    });
    let _ = apply("dba", DBA).expect_success();
    let _ = apply("mail", PIPELINE).expect_success();
    let names = [
        "get",
        "sv",
        "app",
        "-o",
        "jsonpath={.status.entries[*].name}",
    ];
    eventually("the status names all entries", || {
        let names = example.kubectl(&names).into_result()?;
        if names == "db/password db/replica/password smtp/host smtp/token" {
            Ok(())
        } else {
            Err(names)
        }
    });
    let lands = "jsonpath={.spec.files[?(@.entry==\"db/password\")].mode}";
    let mode = example.kubectl(&["get", "sv", "app", "-o", lands]);
    assert_eq!(mode.expect_success(), "0400");

    let refused = |arguments: &[&str], who: &[&str], says: &str| {
        let answer = example.kubectl(&[arguments, who].concat());
        let _ = answer.expect_refusal(&["Forbidden", says], "t-1");
    };
    let forced = ["--force-conflicts"];
    let foreign = apply("mail", &[DBA, &forced].concat());
    let _ = foreign.expect_refusal(&["does not let you update smtp/token"], "t-1");
    let whole = "delete the vault (delete smtp/host, delete smtp/token)";
    refused(&["delete", "sv", "app"], DBA, whole);
    let patch = |patch: &'static str| ["patch", "sv", "app", "--type=json", "-p", patch];
    let token = patch(r#"[{"op": "remove", "path": "/spec/data/smtp~1token"}]"#);
    refused(&token, PIPELINE, "does not let you delete smtp/token");
    let editors = patch(r#"[{"op": "remove", "path": "/spec/editors"}]"#);
    refused(&editors, DBA, "needs the verb \"manage\"");

    // What a team applies again, and what the platform does, takes nothing from the others.
    let _ = apply("mail", PIPELINE).expect_success();
    let _ = apply("dba", DBA).expect_success();
    let again = [&["apply", "-f", &example.folder], PLATFORM].concat();
    let _ = kubectl(&again).expect_success();
    assert_eq!(
        example.kubectl(&names).expect_success(),
        "db/password db/replica/password smtp/host smtp/token"
    );
}
