//! What a thief tries with it.

mod api;
mod delivery;
mod keys;

use secretvault_delivery::AGENT_AUDIENCE;
use secretvault_e2e::SYSTEM;

use super::loot::Loot;
use crate::attacker::{AGENT, Token};

/// The agent's own token, as it was found.
fn agents(loot: &Loot) -> Token {
    newest(loot, &format!("{SYSTEM}:{AGENT}"), AGENT_AUDIENCE)
}

/// The token of an account that is valid for longest.
fn newest(loot: &Loot, account: &str, audience: &str) -> Token {
    let tokens = loot.tokens_of(account, audience).into_iter();
    let newest = tokens.max_by_key(|it| it.claims["exp"].as_u64());
    newest.expect("it was found").token
}
