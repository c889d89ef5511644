//! What a thief finds: every token in a file of the node, and in the agent's memory.

use std::collections::{BTreeMap, BTreeSet};

use secretvault_e2e::{Node, Part};
use serde_json::Value;

use crate::attacker::Token;
use crate::process::Process;

/// Everything that was found on a node.
pub(crate) struct Loot(BTreeMap<String, BTreeSet<String>>);

/// One token of it.
pub(crate) struct Found {
    pub(crate) token: Token,
    pub(crate) claims: Value,
    /// The files it was in, or [`MEMORY`].
    pub(crate) places: BTreeSet<String>,
}

impl Loot {
    /// Takes all that is there.
    #[must_use]
    pub(crate) fn of(node: &Node) -> Self {
        let mut loot = Self(BTreeMap::new());
        // Also what is in memory only: tmpfs volumes, and what the agent remembers.
        let search = format!(
            "LC_ALL=C grep -raoE --no-messages --devices=skip '{TOKEN}' \
             /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log /run; true"
        );
        for line in node.sh(&search).expect_success().lines() {
            let (file, token) = line.rsplit_once(':').expect("a file and a token");
            loot.add(token, file);
        }
        let memory = Process::of(&Part::agent_on(node)).memory();
        for text in memory.split(|byte| !is_of_token(*byte)) {
            let text = String::from_utf8_lossy(text);
            if let Some(start) = text.find("eyJ") {
                loot.add(&text[start..], MEMORY);
            }
        }
        loot
    }

    /// All tokens.
    #[must_use]
    pub(crate) fn tokens(&self) -> Vec<Found> {
        let found = self.0.iter().map(|(text, places)| {
            let token = Token::from_text(text);
            let claims = token.claims();
            Found {
                token,
                claims: claims.unwrap_or_default(),
                places: places.clone(),
            }
        });
        found.collect()
    }

    /// Those for one audience, of this account: `namespace:name`.
    #[must_use]
    pub(crate) fn tokens_of(&self, account: &str, audience: &str) -> Vec<Found> {
        let mut tokens = self.tokens();
        let user = format!("system:serviceaccount:{account}");
        tokens.retain(|it| it.claims["sub"] == user && it.claims["aud"][0] == audience);
        tokens
    }

    fn add(&mut self, text: &str, place: &str) {
        if Token::from_text(text).claims().is_some() {
            let places = self.0.entry(text.to_owned()).or_default();
            places.insert(place.to_owned());
        }
    }
}

impl Found {
    /// Who it is, for a person.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        let account = self.claims["sub"].as_str().unwrap_or_default();
        let account = account.trim_start_matches("system:serviceaccount:");
        format!("{account} for {}", self.claims["aud"][0])
    }

    /// The node that it is bound to.
    #[must_use]
    pub(crate) fn node(&self) -> &Value {
        &self.claims["kubernetes.io"]["node"]["name"]
    }
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Three parts in base64, of which the first two are JSON objects.
const TOKEN: &str = r"eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+";

/// Where the agent's own memory was.
pub(crate) const MEMORY: &str = "the agent's memory";
