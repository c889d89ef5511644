//! The answer about one volume: may the pod have it, and why, entry by entry.

use std::collections::BTreeMap;

use secretvault_vault::{
    EntryKind, Plan, PlannedFile, Refusal, Request, VaultRef,
    explain::{ExplainedEntry, ExplainedVault, Explanation, Outcome, Unmet, explain},
};
use serde::Serialize;

use super::{
    asked::{AskedVolume, Asker, Unasked},
    sight::{Seen, Sight},
};

/// What becomes of one volume.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// The volume's name in the pod.
    pub(super) volume: String,
    /// Released, denied, or not to be said.
    pub(super) verdict: Verdict,
    /// Why it is denied or cannot be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Every entry of every vault that is asked for.
    pub(super) entries: Vec<Line>,
    /// What else the pod's owner should know.
    pub(super) notices: Vec<String>,
}

/// The answer, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// The pod would not start.
    Denied,
    /// The volume is filled.
    Released,
    /// Something that decides cannot be seen.
    Unknown,
}

/// What becomes of one entry.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// The vault, as NAMESPACE/NAME.
    pub(super) vault: String,
    /// The entry.
    pub(super) entry: String,
    /// Whether its value is sealed.
    pub(super) sealed: bool,
    /// What becomes of it.
    pub(super) result: Fate,
    /// The file that it is, or would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<File>,
    /// The index of the rule that allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<usize>,
    /// The later vault that has a file in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overridden_by: Option<String>,
    /// Why, in words.
    pub(super) why: String,
}

/// What becomes of an entry, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Fate {
    /// No rule allows it.
    NotAllowed,
    /// No item asks for it.
    NotAsked,
    /// A later vault's file is in its place.
    Overridden,
    /// The pod has it.
    Released,
    /// It is allowed, and the volume is denied.
    Withheld,
}

/// How an entry lands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct File {
    /// Its path in the volume.
    pub(super) path: String,
    /// The owning user.
    pub(super) uid: u32,
    /// The owning group.
    pub(super) gid: u32,
    /// The permission bits.
    pub(super) mode: String,
}

impl Answer {
    /// Decides about one volume. Every vault that it asks for was looked at.
    pub(super) fn about(asker: &Asker, volume: &AskedVolume, sight: &Sight) -> Self {
        let request = match asker.request(volume) {
            Ok(request) => request,
            Err(Unasked::Refused(why)) => return Self::without(volume, Verdict::Denied, why),
            Err(error @ Unasked::NotYet(_)) => {
                return Self::without(volume, Verdict::Unknown, error.to_string());
            }
        };
        for wanted in &request.vaults {
            match sight.at(&wanted.reference) {
                Seen::Blind(blind) => {
                    return Self::without(volume, Verdict::Unknown, blind.to_string());
                }
                Seen::Unreadable(why) => {
                    let why = format!("vault {} cannot be read: {why}", wanted.reference);
                    return Self::without(volume, Verdict::Denied, why);
                }
                Seen::Missing | Seen::Vault(_) => {}
            }
        }
        match sight.labels(&asker.namespace) {
            Ok(labels) => Self::explained(asker, volume, sight, &request, labels),
            Err(blind) => Self::without(volume, Verdict::Unknown, blind.to_string()),
        }
    }

    fn explained(
        asker: &Asker,
        volume: &AskedVolume,
        sight: &Sight,
        request: &Request,
        labels: BTreeMap<String, String>,
    ) -> Self {
        let subject = asker.subject(labels);
        let seen = |vault: &VaultRef| sight.vault(vault).map(|it| &it.vault);
        let explanation = explain(request, &subject, seen);
        let refusal = refusal(asker, &explanation.verdict, sight);
        let withheld = refusal.is_some();
        let lines = explanation.vaults.iter().flat_map(|vault| {
            let entries = vault.entries.iter();
            entries.map(|entry| Line::new(asker, vault, entry, withheld, sight))
        });
        Self {
            volume: volume.name.clone(),
            verdict: if withheld {
                Verdict::Denied
            } else {
                Verdict::Released
            },
            entries: lines.collect(),
            notices: notices(&explanation),
            reason: refusal,
        }
    }

    fn without(volume: &AskedVolume, verdict: Verdict, why: String) -> Self {
        Self {
            volume: volume.name.clone(),
            verdict,
            reason: Some(why),
            entries: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// Why the volume is denied: by the decision, because the pod has ended, or because a sealed value
/// that it would have cannot be opened now.
fn refusal(asker: &Asker, verdict: &Result<Plan, Refusal>, sight: &Sight) -> Option<String> {
    let plan = match verdict {
        Ok(plan) => plan,
        Err(refusal) => return Some(refusal.to_string()),
    };
    if asker.ended {
        return Some("the pod has ended".to_owned());
    }
    let sealed = plan.files.iter().filter(|it| it.kind == EntryKind::Secret);
    let mut troubles = sealed.filter_map(|file| {
        let trouble = sight.vault(&file.vault)?.trouble.as_ref()?;
        Some(format!("vault {}: {trouble}", file.vault))
    });
    troubles.next()
}

/// What is told of a plan, and which vaults and entries of a refused volume are not there.
fn notices(explanation: &Explanation) -> Vec<String> {
    let mut told: Vec<String> = match &explanation.verdict {
        Ok(plan) => plan.notices.iter().map(ToString::to_string).collect(),
        Err(_) => Vec::new(),
    };
    for vault in explanation.vaults.iter().filter(|vault| !vault.exists) {
        told.push(format!("there is no vault {}", vault.reference));
    }
    let missing = explanation.missing.iter();
    told.extend(missing.map(|entry| format!("no vault that is asked for has an entry {entry}")));
    told
}

impl Line {
    fn new(
        asker: &Asker,
        vault: &ExplainedVault,
        explained: &ExplainedEntry,
        withheld: bool,
        sight: &Sight,
    ) -> Self {
        let by = if let Outcome::Overridden { by, .. } = &explained.outcome {
            Some(by.to_string())
        } else {
            None
        };
        let (result, file) = outcome(&explained.outcome, withheld);
        let seen = sight.vault(&vault.reference);
        let rule =
            |index: usize| seen.map_or_else(|| format!("access[{index}]"), |seen| seen.rule(index));
        let allowed = match explained.rule {
            Some(index) => rule(index),
            None => "pods of its own namespace may have every entry".to_owned(),
        };
        let why = match &explained.outcome {
            Outcome::Denied(unmet) => denied(unmet),
            Outcome::NotAsked => "no item asks for it".to_owned(),
            Outcome::Overridden { by, .. } => format!("vault {by} is listed later"),
            Outcome::Released(_) | Outcome::Withheld(_) => allowed,
        };
        Self {
            vault: vault.reference.to_string(),
            entry: explained.entry.to_string(),
            sealed: explained.kind == EntryKind::Secret,
            result,
            file: file.map(|file| File::new(file, asker.group)),
            rule: explained.rule,
            overridden_by: by,
            why,
        }
    }
}

fn outcome(outcome: &Outcome, withheld: bool) -> (Fate, Option<&PlannedFile>) {
    match outcome {
        Outcome::Denied(_) => (Fate::NotAllowed, None),
        Outcome::NotAsked => (Fate::NotAsked, None),
        Outcome::Overridden { file, .. } => (Fate::Overridden, Some(file)),
        Outcome::Released(file) if withheld => (Fate::Withheld, Some(file)),
        Outcome::Released(file) => (Fate::Released, Some(file)),
        Outcome::Withheld(file) => (Fate::Withheld, file.as_deref()),
    }
}

/// Which condition of which rule does not hold. None: the vault has no rules.
pub(super) fn denied(unmet: &[Unmet]) -> String {
    if unmet.is_empty() {
        return "only pods of its own namespace may have it".to_owned();
    }
    let rules = unmet.iter().map(|unmet| {
        let conditions: Vec<String> = unmet.conditions.iter().map(ToString::to_string).collect();
        let conditions = conditions.join(" and ");
        format!("access[{}] is for other {conditions}", unmet.rule)
    });
    rules.collect::<Vec<_>>().join("; ")
}

impl File {
    /// As the node agent writes it: a pod's fsGroup is the group of files for which nobody says one.
    fn new(file: &PlannedFile, group: Option<i64>) -> Self {
        let group = group.and_then(|group| u32::try_from(group).ok());
        Self {
            path: file.path.to_string(),
            uid: file.uid,
            gid: group.filter(|_| file.gid_is_default).unwrap_or(file.gid),
            mode: file.mode.to_string(),
        }
    }
}
