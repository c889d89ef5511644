//! Why a volume holds what it holds: the plan of a first publish, entry by entry, with reasons.
//!
//! # Guarantees
//! * An entry is [`Outcome::Released`] exactly if [`plan()`] makes a file of it, and that file is the
//!   plan's own: what is explained is what happens, because it is the same decision.
//! * Every entry of every vault that was asked for is spoken of, unless the plan is refused because
//!   to decide would take too long.
//!
//! An explanation names what a pod of another namespace must not learn. It is for whoever may read
//! the vaults themselves.

use std::collections::BTreeSet;

use crate::{
    access::{Allowed, Condition, Subject, allows},
    names::{EntryName, VaultRef},
    plan::{self, Held, Notice, Plan, PlannedFile, Refusal, Source, plan},
    request::{ItemPattern, Request, RequestedVault},
    vault::{EntryKind, Vault},
};

/// What a volume gets, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the volume's first publish comes to.
    pub verdict: Result<Plan, Refusal>,
    /// The vaults, in the request's order.
    pub vaults: Vec<ExplainedVault>,
    /// Entries that items name and that none of the vaults has.
    pub missing: Vec<EntryName>,
}

/// What becomes of one vault of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedVault {
    /// Namespace and name.
    pub reference: VaultRef,
    /// Whether there is such a vault.
    pub exists: bool,
    /// Why the volume gets nothing of it, if that can be said of the whole vault.
    pub refusal: Option<Refusal>,
    /// Its entries, by name; one that lands at two paths is there twice.
    pub entries: Vec<ExplainedEntry>,
}

/// What becomes of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedEntry {
    /// The entry.
    pub entry: EntryName,
    /// Whether it is sealed.
    pub kind: EntryKind,
    /// The first rule that allows it; none if no rule does, and in a vault without rules.
    pub rule: Option<usize>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What becomes of an entry that a vault has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod may not have it.
    Denied(Vec<Unmet>),
    /// No item asks for it.
    NotAsked,
    /// A later vault has a file in its place.
    Overridden {
        /// What it would have been.
        file: Box<PlannedFile>,
        /// The later vault.
        by: VaultRef,
    },
    /// The volume has it.
    Released(Box<PlannedFile>),
    /// The pod may have it and asks for it, and the volume is refused for another reason. None: it
    /// has no path.
    Withheld(Option<Box<PlannedFile>>),
}

/// Why a rule does not allow an entry. For a vault without rules there is none: it is for pods of
/// its own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The rule's index.
    pub rule: usize,
    /// Its conditions that do not hold.
    pub conditions: Vec<Condition>,
}

/// Explains the first publish of a volume.
///
/// `seen` names the vaults as they are now.
pub fn explain<'v>(
    request: &Request,
    subject: &Subject,
    seen: impl Fn(&VaultRef) -> Option<&'v Vault>,
) -> Explanation {
    let verdict = plan(request, subject, &seen, &Held::default());
    let about = About {
        request,
        subject,
        verdict: &verdict,
    };
    let vaults: Vec<ExplainedVault> = request
        .vaults
        .iter()
        .map(|wanted| about.vault(wanted, seen(&wanted.reference)))
        .collect();
    let missing = missing(request, seen);
    Explanation {
        vaults,
        missing,
        verdict,
    }
}

/// Why each rule of a vault does not allow a pod an entry; empty if one does, or there are none.
pub fn unmet(vault: &Vault, subject: &Subject, entry: &EntryName) -> Vec<Unmet> {
    if allows(vault, subject, entry) {
        return Vec::new();
    }
    all_unmet(vault, subject, entry)
}

fn all_unmet(vault: &Vault, subject: &Subject, entry: &EntryName) -> Vec<Unmet> {
    let rules = vault.access.iter().flatten().enumerate();
    rules
        .map(|(rule, stated)| Unmet {
            rule,
            conditions: stated.unmet(vault, subject, entry),
        })
        .collect()
}

/// One volume, and what was decided about it.
struct About<'a> {
    request: &'a Request,
    subject: &'a Subject,
    verdict: &'a Result<Plan, Refusal>,
}

impl About<'_> {
    fn vault(&self, wanted: &RequestedVault, vault: Option<&Vault>) -> ExplainedVault {
        let mut explained = ExplainedVault {
            reference: wanted.reference.clone(),
            exists: vault.is_some(),
            refusal: None,
            entries: Vec::new(),
        };
        if let Err(refusal @ (Refusal::AccessTooLarge { .. } | Refusal::ItemsTooLarge)) =
            self.verdict
        {
            explained.refusal = Some(refusal.clone());
            return explained;
        }
        let source = Source::alone(wanted, vault, self.subject);
        explained.refusal = plan::usable(self.request, self.subject, &source).err();
        let Some(allowed) = source.vault() else {
            return explained;
        };
        let brought = plan::brought(self.request, &source).unwrap_or_default();
        for (entry, kind) in &allowed.vault().entries {
            let files = brought.iter().filter(|file| file.entry == *entry);
            for outcome in self.outcomes(allowed, entry, files.cloned().collect()) {
                explained.entries.push(ExplainedEntry {
                    entry: entry.clone(),
                    kind: *kind,
                    rule: allowed.rule_for(entry),
                    outcome,
                });
            }
        }
        explained
    }

    fn outcomes(
        &self,
        allowed: &Allowed<'_>,
        entry: &EntryName,
        files: Vec<PlannedFile>,
    ) -> Vec<Outcome> {
        if !plan::asks_for(self.request, entry) {
            return vec![Outcome::NotAsked];
        }
        if !allowed.allows(entry) {
            let unmet = all_unmet(allowed.vault(), self.subject, entry);
            return vec![Outcome::Denied(unmet)];
        }
        if files.is_empty() {
            return vec![Outcome::Withheld(None)];
        }
        files.into_iter().map(|file| self.outcome(file)).collect()
    }

    fn outcome(&self, file: PlannedFile) -> Outcome {
        let Ok(plan) = self.verdict else {
            return Outcome::Withheld(Some(Box::new(file)));
        };
        if plan.files.contains(&file) {
            return Outcome::Released(Box::new(file));
        }
        let mut overridden = plan.notices.iter().filter_map(Notice::overridden);
        let by = overridden.find(|it| it.vault == file.vault && it.path == file.path);
        match by.map(|it| it.by.clone()) {
            Some(by) => Outcome::Overridden {
                file: Box::new(file),
                by,
            },
            None => Outcome::Withheld(Some(Box::new(file))),
        }
    }
}

fn missing<'v>(request: &Request, seen: impl Fn(&VaultRef) -> Option<&'v Vault>) -> Vec<EntryName> {
    let vaults = request
        .vaults
        .iter()
        .filter_map(|wanted| seen(&wanted.reference));
    let known: BTreeSet<&EntryName> = vaults.flat_map(|vault| vault.entries.keys()).collect();
    let named = request.items.iter().filter_map(|item| match &item.pattern {
        ItemPattern::Entry(entry) => Some(entry),
        ItemPattern::Glob(_) => None,
    });
    let missing: BTreeSet<&EntryName> = named.filter(|entry| !known.contains(entry)).collect();
    missing.into_iter().cloned().collect()
}
