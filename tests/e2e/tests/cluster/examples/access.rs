//! Who may have what, what stays when it is deleted, what cannot change.

use secretvault_e2e::{eventually, kubectl};

use super::{Example, files, listing};

#[test]
fn access_rules() {
    let example = Example::apply("access-rules");
    example.wait_listing(
        "web",
        &[
            ("run/secrets/db/password", "0:0 r--r--r--"),
            ("run/secrets/db/replica/password", "0:0 r--r--r--"),
        ],
    );
    let token = [("run/secrets/smtp/token", "0:0 r--r--r--")];
    example.wait_listing("mailer", &token);
    let token = files(&token);
    for (namespace, pod) in [
        ("example-access-rules-batch", "report"),
        ("example-access-rules-stage", "trial"),
    ] {
        let of = ["--namespace", namespace];
        let object = format!("pod/{pod}");
        let wait = ["wait", "--for=condition=Ready", &object, "--timeout=5m"];
        let _ = kubectl(&[of.as_slice(), &wait].concat()).expect_success();
        eventually(&format!("{pod} logs"), || {
            let logs = kubectl(&[of.as_slice(), &["logs", pod]].concat());
            let found = listing(&logs.into_result()?);
            if found == token {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        });
    }
    let typo = r#"[{"op": "replace", "path": "/spec/access/1/entries/0", "value": "smpt/token"}]"#;
    let warned = example.kubectl(&["patch", "sv", "shop", "--type=json", "-p", typo]);
    let warning = "Warning: spec.access[1].entries: no entry of this vault is covered";
    assert!(warned.stderr.contains(warning), "{}", warned.stderr);
    eventually("an Event of denied says why", || {
        let described = example
            .kubectl(&["describe", "pod", "denied"])
            .into_result()?;
        let why =
            "its access has no rule for service account example-access-rules/web with these labels";
        if described.contains(why) {
            Ok(())
        } else {
            Err(described)
        }
    });
    let right = r#"[{"op": "remove", "path": "/spec/access/0/podSelector"}]"#;
    let patched = example.kubectl(&["patch", "sv", "shop", "--type=json", "-p", right]);
    let _ = patched.expect_success();
    example.wait_ready("denied");
}

#[test]
fn on_delete() {
    let example = Example::apply("on-delete");
    example.wait_ready("app");
    for vault in ["retained", "removed"] {
        let patch = format!(r#"[{{"op": "remove", "path": "/spec/data/{vault}~1other"}}]"#);
        let patched = example.kubectl(&["patch", "sv", vault, "--type=json", "-p", &patch]);
        let _ = patched.expect_success();
    }
    let find = || example.sh("app", "find -L /run/secrets -name other -not -path '*/..*'");
    eventually("removed/other goes", || {
        let found = find();
        if found.contains("removed/other") {
            Err(found)
        } else {
            Ok(())
        }
    });
    assert_eq!(find(), "/run/secrets/retained/other\n");
}

#[test]
fn immutable() {
    let example = Example::apply("immutable");
    let patch =
        |patch: &str| example.kubectl(&["patch", "sv", "release-42", "--type=merge", "-p", patch]);
    let refused = patch(r#"{"spec": {"data": {"api-token": "t-2"}}}"#);
    let says = "the vault is immutable: entries, files, fileDefaults and immutable itself cannot \
                change; create another vault";
    refused.expect_refusal(&[says], "t-2");
    let _ = patch(r#"{"spec": {"access": [{"serviceAccounts": ["default"]}]}}"#).expect_success();
    let _ = patch(r#"{"metadata": {"labels": {"a": "b"}}}"#).expect_success();
    example.wait_listing("app", &[("run/secrets/api-token", "0:0 r--r--r--")]);
    let deleted = example.kubectl(&["delete", "sv", "release-42"]);
    let _ = deleted.expect_success();
}
