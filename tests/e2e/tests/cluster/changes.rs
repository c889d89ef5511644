//! What running pods see of a change: all of it, and all at once.

mod mixture;
mod pushed;

use std::collections::BTreeSet;

use secretvault_e2e::{Namespace, Pod, Vault, eventually};
use serde_json::json;

#[test]
fn a_change_arrives_with_contents_owners_modes_and_paths() {
    let namespace = Namespace::create("changes-all");
    let files = json!([{"entry": "moved", "path": "here"}]);
    let before = Vault::named("app")
        .text("shorter", "a long value with a tail")
        .text("emptied", "no longer")
        .text("mode-only", "m-1")
        .text("owner-only", "o-1")
        .text("moved", "v-1")
        .text("same", "s-1")
        .spec("files", files);
    before.store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "here"), "v-1");
    let files = json!([
        {"entry": "moved", "path": "deep/there"},
        {"entry": "mode-only", "mode": "0400"},
        {"entry": "owner-only", "uid": 70, "gid": 71},
    ]);
    let after = before
        .text("shorter", "short")
        .text("emptied", "")
        .text("new", "n-1")
        .spec("files", files);
    after.store(&namespace);
    pod.wait_content(&namespace, "shorter", "short");
    let script = "cd /run/secrets && for f in $(find -L . -name '..*' -prune -o -type f -print | sort); \
                  do echo \"$f $(stat -L -c '%u:%g %a' $f) $(cat $f)\"; done";
    let seen = namespace.sh("app", script).expect_success();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(
        seen,
        [
            "./deep/there 0:0 444 v-1",
            "./emptied 0:0 444 ",
            "./mode-only 0:0 400 m-1",
            "./new 0:0 444 n-1",
            "./owner-only 70:71 444 o-1",
            "./same 0:0 444 s-1",
            "./shorter 0:0 444 short",
        ]
    );
}

#[test]
fn a_change_of_mode_alone_arrives() {
    let namespace = Namespace::create("changes-mode");
    let mode = |mode: &str| {
        let vault = Vault::named("app").text("token", "t-1");
        vault.spec("fileDefaults", json!({"mode": mode}))
    };
    mode("0444").store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    mode("0400").store(&namespace);
    eventually("the file's mode changes", || {
        let stat = "stat -L -c %a /run/secrets/token";
        match namespace.sh("app", stat).into_result()?.trim() {
            "400" => Ok(()),
            mode => Err(mode.to_owned()),
        }
    });
    assert_eq!(pod.read(&namespace, "token"), "t-1");
}

#[test]
fn a_file_can_become_a_directory_and_a_directory_a_file() {
    let namespace = Namespace::create("changes-kind");
    let before = Vault::named("app").text("a", "file").text("b/c", "below");
    before.store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "a"), "file");
    let after = Vault::named("app").text("a/c", "below").text("b", "file");
    after.store(&namespace);
    pod.wait_content(&namespace, "a/c", "below");
    assert_eq!(pod.read(&namespace, "b"), "file");
}

#[test]
fn all_files_change_at_once() {
    let namespace = Namespace::create("changes-once");
    let all = |value: &str| {
        let entries = ["first", "deep/second", "third", "zone/fourth"];
        let vault = Vault::named("app");
        entries
            .iter()
            .fold(vault, |vault, entry| vault.text(entry, value))
    };
    all("1").store(&namespace);
    // One look at `..data` gives a whole generation: what is read below it is of that one, as long
    // as it is there. A reader that is overtaken finds a file missing, and looks again.
    let watch = "cd /run/secrets; while :; do \
                   d=$(readlink ..data); \
                   all=$(cat $d/first $d/deep/second $d/third $d/zone/fourth 2>/dev/null) && \
                     [ \"$all\" != \"$last\" ] && echo $all && last=$all; \
                   sleep 0.005; \
                 done";
    let pod = Pod::mounting("app", "app");
    let pod = pod.with("/spec/containers/0/command", json!(["sh", "-c", watch]));
    pod.run(&namespace);
    let seen = |last: &str| {
        eventually("the watcher sees the last generation", || {
            let logs = namespace.kubectl(&["logs", "app"]).stdout;
            let seen: BTreeSet<String> = logs.lines().map(str::to_owned).collect();
            if seen.contains(last) {
                Ok(seen)
            } else {
                Err(seen)
            }
        })
    };
    seen("1111");
    for next in ["2", "3"] {
        all(next).store(&namespace);
        seen(&next.repeat(4));
    }
    let whole = ["1111", "2222", "3333"].map(str::to_owned);
    assert_eq!(seen("3333"), BTreeSet::from(whole));
}
