//! What the audit log says of a step.

use kube::ResourceExt;
use secretvault_audit::{Record, Rotation, Turn, Vault, Verdict, Word};
use secretvault_crds::SecretVault;

use super::plan::Why;
use super::write::{Ended, Step};

/// The record of a step that was done, or failed; none where there was nothing to do any more.
pub(super) fn rotation(vault: &SecretVault, step: Step, ended: &Ended) -> Option<Record> {
    let (verdict, reason) = match ended {
        Ended::Conflict | Ended::Gone => return None,
        Ended::Done => (Verdict::Grant, "Done"),
        Ended::Failed(_) => (Verdict::Denial, "Failed"),
    };
    let data_key = vault.spec.data_key.as_ref();
    Some(Record::Rotation(Rotation {
        verdict,
        reason: Word(reason),
        data_key: match step {
            Step::Reseal(Why::Age) => Turn::Rekey,
            Step::Reseal(Why::Provider) => Turn::Migrate,
            Step::Rewrap => Turn::Rewrap,
        },
        vault: Vault {
            namespace: vault.namespace().unwrap_or_default().as_str().into(),
            name: vault.name_any().as_str().into(),
            uid: vault.uid().map(|uid| uid.as_str().into()),
            generation: vault.metadata.generation,
            key_id: data_key.map(|key| key.key_id.as_str().into()),
            entries: Vec::new(),
        },
    }))
}
