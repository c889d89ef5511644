//! The audit log: one line per verdict, of names only, that nobody can take away unnoticed.

pub(crate) mod unrecorded;
mod verify;
mod words;

use std::collections::BTreeSet;

use secretvault_delivery::v1::Volume;
use secretvault_e2e::{Namespace, Part, SYSTEM, Vault, eventually, kubectl};
use serde_json::{Value, json};

use super::scene::{Bystander, Scene};
use super::table::{Ask, Treasure};
use crate::attacker::Key;
use crate::canary::{Canary, Scanner};

const VALUE: &str = "value-of-the-audit-test";

/// Asks so often that every replica is asked.
const OFTEN: usize = 24;

#[test]
fn each_verdict_is_one_line_of_names_and_reasons_and_of_nothing_else() {
    let namespace = Namespace::create("audit");
    let rules = json!([{"serviceAccounts": ["web"], "entries": ["db/*"]}]);
    let vault = Vault::named("app").text("db/password", VALUE);
    let vault = vault.text("smtp/token", "t-1").spec("access", rules);
    vault.store(&namespace);
    let stored = vault.stored(&namespace);
    let scene = Scene::new();
    let first = Bystander::create(&namespace, "first", "web");
    let treasure = Treasure::of(&scene.operator, &scene.asks(&first, "app", ""));

    let web = Bystander::create(&namespace, "web", "web");
    let granted = scene.asks(&web, "app", "");
    let other = Bystander::create(&namespace, "other", "other");
    let denied = scene.asks(&other, "app", "");
    let forged = Bystander::create(&namespace, "forged", "web");
    let token = forged.token().resigned(&Key::random(), |_| {});
    let forged_ask = scene.asks_with(&forged, &token, "app", "");
    let asks = [&granted, &denied, &forged_ask];
    let _ = scene.operator.ask(&[], &granted.volume);
    for ask in asks.iter().cycle().take(OFTEN * asks.len()) {
        let _ = scene.operator.ask(&ask.authorization, &ask.volume);
    }
    let log = Log::of(&namespace, &[&web, &other, &forged]);
    log.has_exactly(
        &web,
        &json!({
            "audit": "release",
            "verdict": "grant",
            "reason": "Granted",
            "node": "node-a",
            "pod": proven(&web, true),
            "vaults": [{
                "namespace": namespace.name(),
                "name": "app",
                "uid": stored["metadata"]["uid"],
                "generation": stored["metadata"]["generation"],
                "keyId": stored["spec"]["dataKey"]["keyId"],
                "entries": ["db/password"],
            }],
        }),
    );
    log.has_exactly(&other, &json!({
        "audit": "release",
        "verdict": "denial",
        "reason": "Forbidden",
        "node": "node-a",
        "pod": proven(&other, true),
        "message": format!(
            "vault {0}/app allows this pod no entry: its access has no rule for service account \
             {0}/other with these labels",
            namespace.name(),
        ),
    }));
    log.has_exactly(
        &forged,
        &json!({
            "audit": "release",
            "verdict": "denial",
            "reason": "TokenRejected",
            "node": "node-a",
            "pod": proven(&forged, false),
            "message": "the pod's token is rejected: the token is not valid (any more)",
        }),
    );
    log.has_a_line_for_whoever_is_no_agent();
    let replicas = log.replicas_asked_about(&web);
    assert!(replicas.len() > 1, "one got all calls: {replicas:?}");
    log.holds_none_of(&secrets(&treasure, &asks));
    let namespace = Canary::text("what is there", namespace.name());
    assert!(!log.found(&[namespace]).is_empty());
}

/// A runtime splits what is longer than 16 KiB, and kubelet shows the parts of both streams as they came.
#[test]
fn it_is_in_one_stream_with_all_else_that_the_operator_says() {
    for replica in Part::operators() {
        let pod = format!("/var/log/pods/{SYSTEM}_{}_{}", replica.name, replica.uid);
        let log = replica.node.sh(&format!("cat {pod}/operator/*.log"));
        let log = log.expect_success();
        for kind in ["{\"v\":1,\"chain\":", "{\"timestamp\":"] {
            assert!(log.contains(&format!(" stdout F {kind}")), "{kind}");
        }
        let other = log.lines().find(|line| line.contains(" stderr "));
        assert_eq!(other, None);
    }
}

fn proven(pod: &Bystander, proven: bool) -> Value {
    let metadata = &pod.0["metadata"];
    json!({
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "serviceAccount": pod.account(),
        "proven": proven,
    })
}

/// Values, keys, envelopes and tokens.
fn secrets(treasure: &Treasure, asks: &[&Ask]) -> Vec<Canary> {
    let mut secrets = vec![Canary::text("value", VALUE)];
    secrets.extend(
        treasure
            .marks()
            .map(|mark| Canary::bytes("key or envelope", mark)),
    );
    let volumes = asks.iter().map(|ask: &&Ask| -> &Volume { &ask.volume });
    secrets.extend(volumes.map(|volume| signature("pod's token", &volume.pod_token)));
    let agents = asks.iter().flat_map(|ask| &ask.authorization);
    secrets.extend(agents.map(|token| signature("agent's token", token)));
    secrets
}

fn signature(name: &str, token: &str) -> Canary {
    Canary::text(name, token.rsplit_once('.').unwrap().1)
}

/// The logs of all replicas since a namespace was made.
struct Log(Vec<(String, String)>);

impl Log {
    /// Waits until each of these pods has all its lines.
    fn of(namespace: &Namespace, pods: &[&Bystander]) -> Self {
        let since = namespace.get(&format!("namespace/{}", namespace.name()));
        let since = since["metadata"]["creationTimestamp"].as_str().unwrap();
        eventually("the audit log has all lines", || {
            let log = Self::since(since);
            let counts: Vec<usize> = pods.iter().map(|pod| log.about(pod).len()).collect();
            if counts.iter().all(|count| *count >= OFTEN) {
                Ok(log)
            } else {
                Err(counts)
            }
        })
    }

    fn since(time: &str) -> Self {
        let selector = "--selector=app.kubernetes.io/component=operator";
        let since = format!("--since-time={time}");
        let logs = [
            "--namespace",
            SYSTEM,
            "logs",
            selector,
            "--tail=-1",
            "--prefix",
            &since,
        ];
        let logs = kubectl(&logs).expect_success();
        let lines = logs.lines().filter_map(|line| line.split_once(' '));
        let lines = lines.map(|(replica, line)| (replica.to_owned(), line.to_owned()));
        Self(lines.collect())
    }

    /// The audit lines about a pod, without their times.
    fn about(&self, pod: &Bystander) -> Vec<Value> {
        let uid = &pod.0["metadata"]["uid"];
        let lines = self.0.iter();
        let lines = lines.filter_map(|(_, line)| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["audit"] == "release" && line["pod"]["uid"] == *uid)
            .map(without_time)
            .collect()
    }

    fn has_exactly(&self, pod: &Bystander, line: &Value) {
        assert_eq!(self.about(pod), vec![line.clone(); OFTEN]);
    }

    fn has_a_line_for_whoever_is_no_agent(&self) {
        let expected = json!({
            "audit": "request",
            "verdict": "denial",
            "reason": "AgentRejected",
            "message": "the token is not valid (any more)",
        });
        let lines = self
            .0
            .iter()
            .filter_map(|(_, line)| serde_json::from_str(line).ok());
        let lines = lines.filter(|line: &Value| line["audit"] == "request");
        assert!(lines.map(without_time).any(|line| line == expected));
    }

    fn replicas_asked_about(&self, pod: &Bystander) -> BTreeSet<&str> {
        let uid = pod.0["metadata"]["uid"].as_str().unwrap();
        let lines = self.0.iter().filter(|(_, line)| line.contains(uid));
        lines.map(|(replica, _)| replica.as_str()).collect()
    }

    fn holds_none_of(&self, secrets: &[Canary]) {
        assert_eq!(self.found(secrets), BTreeSet::new());
    }

    /// The names of what is in the log.
    fn found(&self, canaries: &[Canary]) -> BTreeSet<String> {
        let scanner = Scanner::for_all(canaries);
        let found = self
            .0
            .iter()
            .flat_map(|(_, line)| scanner.search(line.as_bytes()));
        found.map(|(canary, _)| canary).collect()
    }
}

/// A line without what differs each time.
fn without_time(mut line: Value) -> Value {
    let members = line.as_object_mut().unwrap();
    for member in ["v", "chain", "seq", "prev", "time"] {
        assert!(members.remove(member).is_some(), "a line without {member}");
    }
    line
}
