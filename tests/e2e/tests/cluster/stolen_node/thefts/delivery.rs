//! At the operator's door, with the agent's own token and its pods'.

use std::collections::BTreeSet;

use secretvault_delivery::POD_AUDIENCE;
use secretvault_delivery::v1::{HeldFile, HeldVault, Reason, Volume};
use serde_json::{Value, json};
use tonic::Code;

use super::{agents, newest};
use crate::attacker::{Token, bearer, volume};
use crate::authorise::table::{Ask, Refusal, Table};
use crate::stolen_node::attempts::Attempts;
use crate::stolen_node::loot::Loot;
use crate::stolen_node::scene::Scene;

impl Scene {
    /// Other entries, other vaults, other pods; and the other agent's place.
    pub(crate) fn steal_at_the_operator(&self, loot: &Loot, attempts: &mut Attempts) {
        let agent = agents(loot);
        let [near, far] = ["pod/near", "pod/far"].map(|pod| self.home.get(pod));
        let token = newest(loot, &self.account("near"), POD_AUDIENCE);
        let ask = |pod: &Value, token: &Token, vaults: &str, items: &str| Ask {
            authorization: bearer(&agent),
            volume: volume(pod, token, vaults, items),
        };
        let own = ask(&near, &token, "app", "");
        let gold = format!("{}/gold", self.palace.name());
        let fars = self.token(&far);
        let of_far = ask(&far, &fars, "app", "").authorized(&self.agent_b);
        let mut table = Table::new(&self.operator, &self.treasure);
        for (name, attack, refusal) in [
            (
                "another entry",
                ask(&near, &token, "app", "far/password"),
                ENTRY,
            ),
            (
                "one of its own and another",
                ask(&near, &token, "app", "near/*, far/password"),
                ENTRY,
            ),
            ("another vault", ask(&near, &token, &gold, ""), VAULT),
            (
                "its own and another",
                ask(&near, &token, &format!("app, {gold}"), ""),
                VAULT,
            ),
            (
                "another pod, with its own token",
                ask(&far, &token, "app", ""),
                POD,
            ),
        ] {
            table.refuses(name, &attack, &refusal, &own, NEAR);
        }
        table.releases(
            "everything that there is",
            &ask(&near, &token, "app", "**"),
            NEAR,
        );
        // Even with the other pod's token, from wherever it may have come.
        let attack = ask(&far, &fars, "app", "");
        table.refuses("another node's pod", &attack, &NODE, &of_far, FAR);
        let renamed = agent.altered(|claims| {
            claims["kubernetes.io"]["node"]["name"] = json!("node-b");
        });
        let attack = of_far.clone().authorized(&bearer(&renamed));
        table.refuses("as the other node's agent", &attack, &UNKNOWN, &of_far, FAR);
        let held = own.clone().with(|volume| pretend_to_hold(volume, &gold));
        let what = "what it says that it holds already";
        table.releases(what, &held, NEAR);
        table.finish();
        self.try_all_tokens(loot, &of_far, attempts);
    }

    /// Each token that was found, in the place of the other pod's and of the other agent's.
    fn try_all_tokens(&self, loot: &Loot, of_far: &Ask, attempts: &mut Attempts) {
        let released = |ask: &Ask| {
            let answer = self.operator.ask(&ask.authorization, &ask.volume);
            let found = self.treasure.found_in(&answer.raw);
            (found.is_empty(), answer.outcome.to_string())
        };
        let control = !released(of_far).0;
        attempts.take(
            "the other pod, with its agent and token",
            control,
            "the control",
        );
        for found in loot.tokens() {
            let as_pod = of_far.clone().with(|volume| {
                found.token.text().clone_into(&mut volume.pod_token);
            });
            let (nothing, outcome) = released(&as_pod);
            let name = format!("{}, as the other pod's token", found.name());
            attempts.take(&name, nothing, &outcome);
            let as_agent = of_far.clone().authorized(&bearer(&found.token));
            let (nothing, outcome) = released(&as_agent);
            let name = format!("{}, as the other agent's token", found.name());
            attempts.take(&name, nothing, &outcome);
        }
    }

    /// All that the loot opens are the files that the pod has anyway.
    pub(crate) fn yields_the_files_of_its_own_pods(&self, loot: &Loot, attempts: &mut Attempts) {
        let agent = bearer(&agents(loot));
        let near = self.home.get("pod/near");
        let mut yielded = BTreeSet::new();
        for found in loot.tokens() {
            for vaults in ["app", &format!("{}/gold", self.palace.name())] {
                let volume = volume(&near, &found.token, vaults, "");
                let answer = self.operator.ask(&agent, &volume);
                let entries = self.treasure.found_in(&answer.raw);
                yielded.extend(entries.into_iter().map(str::to_owned));
            }
        }
        let files = self.files("near");
        let files: BTreeSet<_> = files.iter().map(|it| format!("app/{it}")).collect();
        assert_eq!(files.len(), NEAR.len());
        let outcome = format!("{yielded:?}");
        attempts.take("everything that it yields", yielded == files, &outcome);
    }

    /// The tokens of a pod, once it is gone.
    pub(crate) fn replay(&self, loot: &Loot, attempts: &mut Attempts) {
        let agent = bearer(&agents(loot));
        let near = self.home.get("pod/near");
        let token = newest(loot, &self.account("near"), POD_AUDIENCE);
        let volume = volume(&near, &token, "app", "");
        let ask = || self.operator.ask(&agent, &volume);
        let before = ask().outcome.granted();
        attempts.take("its pod, while it lives", before.is_ok(), "the control");
        let delete = ["delete", "pod", "near", "--wait=true"];
        let _ = self.home.kubectl(&delete).expect_success();
        let answer = ask();
        let nothing = self.treasure.found_in(&answer.raw).is_empty();
        let outcome = answer.outcome.to_string();
        let refused = nothing && GONE.iter().any(|text| outcome.contains(text));
        attempts.take("its pod, after it is gone", refused, &outcome);
    }
}

/// What an agent holds already is as it says: of what was withdrawn it learns that it goes, and no more.
fn pretend_to_hold(volume: &mut Volume, gold: &str) {
    let (namespace, name) = gold.split_once('/').expect("a vault");
    volume.held_vaults = vec![HeldVault {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: "00000000-0000-0000-0000-000000000000".to_owned(),
        generation: 1,
        ..HeldVault::default()
    }];
    volume.held_files = vec![HeldFile {
        vault: 0,
        entry: "gold".to_owned(),
        path: "gold".to_owned(),
    }];
}

const NEAR: &[&str] = &["app/near/password", "app/near/token"];
const FAR: &[&str] = &["app/far/password"];

const ENTRY: Refusal = Refusal::Denied(&[(Reason::Forbidden, "entry far/password of vault ")]);
const VAULT: Refusal = Refusal::Denied(&[(
    Reason::Forbidden,
    "does not exist or does not allow this pod",
)]);
const POD: Refusal = Refusal::Denied(&[(Reason::TokenRejected, "another pod's: the name differs")]);
const NODE: Refusal =
    Refusal::Denied(&[(Reason::PodMismatch, "the pod is not on the agent's node")]);
const UNKNOWN: Refusal = Refusal::Rejected(
    Code::Unauthenticated,
    "the agent's token is rejected: the token is not valid (any more)",
);

/// As the API server or our own look at the pod says it.
const GONE: [&str; 2] = [
    "the token is not valid (any more)",
    "the pod does not exist any more",
];
