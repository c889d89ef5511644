//! What of a key provider is worth an Event.

use secretvault_crds::{
    KeyProviderStatus,
    api::{CONDITION_KEY_CURRENT, CONDITION_RETIRED},
};

use super::super::condition::{condition_of, ready_of};
use super::key_current::{FAILING, KEYRING_FULL, MIGRATION_IMPOSSIBLE, ROTATION_FAILED};
use super::plan::{Observed, READY, TRANSIT_READY};
use super::retired::{IN_USE, PRIMARY, RETIRE_FAILED};
use crate::{events::News, keys::KeyFault};

/// What happened since the status was written last. `retired`: the keys that went just now.
pub(super) fn news(
    observed: &Observed,
    after: &KeyProviderStatus,
    retired: &[String],
) -> Vec<News> {
    let before = observed.before.as_ref();
    let mut news = Vec::new();
    news.extend(readiness(before, after));
    news.extend(retired.iter().map(|id| {
        let note = format!("key {id} is no longer in the keyring: no vault needed it");
        News::normal(KEY_RETIRED, note)
    }));
    if let Some(before) = before {
        let rotated = rotated(before, after);
        let moves = Moves::between(before, after, rotated.is_some(), observed);
        news.extend(rotated);
        news.extend(moves.told(observed, after));
    }
    news.extend(obstacle(before, after));
    news.extend(refused(before, after));
    news
}

/// Whether the provider is ready, or why not, changed.
fn readiness(before: Option<&KeyProviderStatus>, after: &KeyProviderStatus) -> Option<News> {
    let says = ready_of(&after.conditions)?;
    let said = before.and_then(|before| ready_of(&before.conditions));
    if said.is_some_and(|said| (&said.status, &said.reason) == (&says.status, &says.reason)) {
        return None;
    }
    let faults = KeyFault::ALL.into_iter().map(KeyFault::as_str);
    let mut reasons = faults.chain([READY, TRANSIT_READY]);
    let reason = reasons.find(|reason| *reason == says.reason)?;
    Some(News {
        warning: says.status != "True",
        reason,
        note: says.message.clone(),
    })
}

/// Another key wraps, of the same keys: another keyring would have another scope.
fn rotated(before: &KeyProviderStatus, after: &KeyProviderStatus) -> Option<News> {
    let (old, new) = (
        before.primary_key_id.as_ref()?,
        after.primary_key_id.as_ref()?,
    );
    if old == new || before.scope != after.scope {
        return None;
    }
    let note = format!("key {new} wraps new data keys from now on, and no longer {old}");
    Some(News::normal(KEY_ROTATED, note))
}

/// Vaults that were brought to the key that they should have, between two looks.
#[derive(Default)]
struct Moves {
    /// So many began, if any did.
    begun: Option<usize>,
    finished: bool,
}

impl Moves {
    fn between(
        before: &KeyProviderStatus,
        after: &KeyProviderStatus,
        rotated: bool,
        observed: &Observed,
    ) -> Self {
        let (old, new) = (pending(before), pending(after));
        if new > 0 {
            return Self {
                begun: (old == 0).then_some(new),
                finished: false,
            };
        }
        if old > 0 {
            return Self {
                begun: None,
                finished: true,
            };
        }
        // All were brought there since the last look.
        let left = observed.effective.as_deref() != Ok(observed.name.as_str());
        let had = if left {
            before.vaults.unwrap_or_default()
        } else if rotated {
            others(before, after)
        } else {
            0
        };
        let still = if left {
            after.vaults.unwrap_or_default()
        } else {
            others(after, after)
        };
        let all = usize::try_from(had).unwrap_or_default();
        let all = Some(all).filter(|all| *all > 0 && still == 0);
        Self {
            begun: all,
            finished: all.is_some(),
        }
    }

    fn told(&self, observed: &Observed, after: &KeyProviderStatus) -> Vec<News> {
        let goal = match &observed.effective {
            Ok(effective) if *effective != observed.name => format!("KeyProvider {effective}"),
            Ok(_) | Err(_) => {
                let primary = after.primary_key_id.as_deref().unwrap_or_default();
                format!("key {primary} of KeyProvider {}", observed.name)
            }
        };
        let begun = self.begun.map(|count| {
            let note = format!(
                "{} to {goal}",
                vaults(count, "are to be brought", "is to be brought")
            );
            News::normal(REWRAP_STARTED, note)
        });
        let total = after.rewrap.as_ref().map_or(0, |rewrap| rewrap.total);
        let finished = self.finished.then(|| {
            let total = usize::try_from(total).unwrap_or_default();
            let left = observed.effective.as_deref() != Ok(observed.name.as_str());
            let note = if left {
                format!(
                    "no vault needs a key of KeyProvider {}: all have {goal}",
                    observed.name
                )
            } else {
                format!("all vaults have {goal}: {total}")
            };
            News::normal(REWRAP_FINISHED, note)
        });
        begun.into_iter().chain(finished).collect()
    }
}

fn vaults(count: usize, many: &str, one: &str) -> String {
    match count {
        1 => format!("1 vault {one}"),
        _ => format!("{count} vaults {many}"),
    }
}

/// How many vaults are not as they should be.
fn pending(status: &KeyProviderStatus) -> usize {
    let rewrap = status.rewrap.as_ref();
    let pending = rewrap.map_or(0, |rewrap| rewrap.total.saturating_sub(rewrap.done));
    usize::try_from(pending).unwrap_or_default()
}

/// How many vaults need a key that wraps nothing new any more.
fn others(status: &KeyProviderStatus, after: &KeyProviderStatus) -> i32 {
    let primary = after.primary_key_id.as_deref();
    let others = status.keys.iter().filter(|key| Some(&*key.id) != primary);
    others.map(|key| key.vaults).sum()
}

/// What keeps vaults from the key that they should have, when that changed.
fn obstacle(before: Option<&KeyProviderStatus>, after: &KeyProviderStatus) -> Option<News> {
    let says = condition_of(&after.conditions, CONDITION_KEY_CURRENT)?;
    let reason = match says.reason.as_str() {
        FAILING => REWRAP_FAILING,
        KEYRING_FULL => KEYRING_FULL,
        MIGRATION_IMPOSSIBLE => MIGRATION_IMPOSSIBLE,
        ROTATION_FAILED => ROTATION_FAILED,
        _ => return None,
    };
    let said = before.and_then(|it| condition_of(&it.conditions, CONDITION_KEY_CURRENT));
    let told = said.is_some_and(|said| said.reason == says.reason);
    (!told).then(|| News::warning(reason, &says.message))
}

/// Keys that are not retired, though they should be; not those that go by themselves.
fn refused(before: Option<&KeyProviderStatus>, after: &KeyProviderStatus) -> Option<News> {
    let says = condition_of(&after.conditions, CONDITION_RETIRED)?;
    if ![IN_USE, PRIMARY, RETIRE_FAILED].contains(&says.reason.as_str()) {
        return None;
    }
    let said = before.and_then(|it| condition_of(&it.conditions, CONDITION_RETIRED));
    let told = said.is_some_and(|said| said.reason == says.reason);
    (!told).then(|| News::warning(RETIRE_REFUSED, &says.message))
}

const KEY_RETIRED: &str = "KeyRetired";
const KEY_ROTATED: &str = "KeyRotated";
const RETIRE_REFUSED: &str = "RetireRefused";
const REWRAP_FAILING: &str = "RewrapFailing";
const REWRAP_FINISHED: &str = "RewrapFinished";
const REWRAP_STARTED: &str = "RewrapStarted";

#[cfg(test)]
mod tests;
