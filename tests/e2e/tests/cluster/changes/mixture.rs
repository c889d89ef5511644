//! A reader that never rests, and a vault that never does.

use secretvault_e2e::{Namespace, Pod, Vault, api, eventually};
use serde_json::json;

#[test]
#[ignore = "it needs the cluster for itself"]
fn no_reader_sees_a_mixture_of_two_generations_in_a_thousand() {
    // The reader never rests, so it takes a processor for itself.
    let namespace = Namespace::create("changes-mixture");
    let vault = Vault::named("app").text("one", "0\n").text("two", "0\n");
    vault.store(&namespace);
    // Whoever looks at `..data` once sees one generation, as long as it is there. A reader that is
    // overtaken finds a file missing, and looks again. It says what it has not said before.
    let read = "cd /run/secrets; while :; do \
                  d=$(readlink ..data); a=; b=; \
                  { read -r a < $d/one && read -r b < $d/two; } 2>/dev/null || continue; \
                  [ \"$a\" = \"$b\" ] || echo \"mixed $a $b\"; \
                  [ \"$a\" = \"$last\" ] || echo \"$a\"; \
                  last=$a; \
                done";
    let pod =
        Pod::mounting("app", "app").with("/spec/containers/0/command", json!(["sh", "-c", read]));
    pod.run(&namespace);
    for number in 1..=CHANGES {
        let value = format!("{number}\n");
        let change = json!({"spec": {"data": {"one": value, "two": value}}});
        let _ = api::merge(namespace.name(), "sv/app", &change).unwrap();
    }
    let last = CHANGES.to_string();
    let seen = eventually("the reader sees the last generation", || {
        let logs = namespace.kubectl(&["logs", "app"]).stdout;
        let seen: Vec<String> = logs.lines().map(str::to_owned).collect();
        if seen.last() == Some(&last) {
            Ok(seen)
        } else {
            Err(seen.last().cloned())
        }
    });
    let mixed: Vec<&String> = seen.iter().filter(|line| line.contains("mixed")).collect();
    assert!(mixed.is_empty(), "{mixed:?}");
    let numbers: Vec<u32> = seen.iter().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "it went back: {numbers:?}");
    // kubelet alone would have brought one now and then.
    assert!(numbers.len() > 50, "the reader saw only {numbers:?}");
}

const CHANGES: u32 = 1000;
