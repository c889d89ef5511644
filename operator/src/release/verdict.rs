//! The verdict on one volume, from its pod's token to its files.
//!
//! The steps, each of which can end it: the token is reviewed, and must prove the pod that the
//! agent names, on the agent's own node; the volume's attributes are read; the pod itself is read
//! and must live; this replica must not be behind what the volume shows already; the plan says
//! which files the pod may have; keys are derived for exactly those.

use std::time::Duration;

use kube::Client;
use kube::api::Api;
use secretvault_crds::SecretVault;
use secretvault_delivery::v1::Volume;
use secretvault_vault::plan::{HeldVault, Refusal, plan, withdrawn};
use secretvault_vault::{Subject, VaultRef};
use thiserror::Error;
use tokio::time::Instant;

use super::asked::{Asked, claimed_pod};
use super::audit::{AuditError, AuditedPod};
use super::denied::{Denied, Denying};
use super::grant::{self, Granted, Snapshot};
use super::identity::{AgentIdentity, PodIdentity};
use super::pod;
use super::review::Reviews;
use crate::keys::Providers;
use crate::vaults::{Fault, Seen, Vaults};

/// What a verdict is made of.
pub(super) struct Judge {
    pub(super) client: Client,
    pub(super) vaults: Vaults,
    pub(super) providers: Providers,
    pub(super) reviews: Reviews,
}

/// The verdict, and the pod it is about as far as that was proved.
pub(super) struct Decision {
    pub(super) pod: AuditedPod,
    pub(super) verdict: Result<Granted, Denying>,
}

/// Why there is no verdict: the operator cannot serve now. Never a denial, and no volume changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unavailable {
    /// A verdict that cannot be logged is not given.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Too many requests at once.
    #[error("this replica is busy")]
    Busy,
    /// The API server could not be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The whole request took too long.
    #[error("the request took too long")]
    Slow,
    /// What this replica sees is too old, or not there yet.
    #[error("this replica has not heard of the API server for too long")]
    Stale,
}

impl Judge {
    /// Decides about one volume of an agent.
    ///
    /// # Errors
    /// Only if the operator cannot serve; everything about the volume is in the decision.
    pub(super) async fn decide(
        &self,
        volume: &Volume,
        agent: &AgentIdentity,
    ) -> Result<Decision, Unavailable> {
        let claimed = claimed_pod(volume);
        let status = self.reviews.review(&volume.pod_token).await?;
        let identity = match PodIdentity::accept(&status) {
            Ok(identity) => identity,
            Err(error) => {
                let pod = AuditedPod::from(&claimed);
                return Ok(Decision {
                    pod,
                    verdict: Err(Denied::from(error).into()),
                });
            }
        };
        let pod = AuditedPod::from(&identity);
        let proved = identity
            .is_named_by(&claimed)
            .and_then(|()| identity.on_node_of(agent));
        let verdict = match proved {
            Ok(()) => self.decide_for(&identity, volume).await?,
            Err(error) => Err(Denied::from(error).into()),
        };
        Ok(Decision { pod, verdict })
    }

    /// The verdict for a pod whose token is proved.
    async fn decide_for(
        &self,
        identity: &PodIdentity,
        volume: &Volume,
    ) -> Result<Result<Granted, Denying>, Unavailable> {
        let asked = match Asked::parse(volume, &identity.namespace) {
            Ok(asked) => asked,
            Err(denied) => return Ok(Err(denied.into())),
        };
        let living = pod::read(&self.client, identity).await?;
        let subject = match pod::subject(living.as_ref(), identity, asked.holds_files()) {
            Ok(subject) => subject,
            Err(error) => return Ok(Err(Denied::from(error).into())),
        };
        if let Some(vault) = self.behind(&asked).await? {
            return Ok(Err(Denied::Behind { vault }.into()));
        }
        self.grant(&asked, &subject).await
    }

    /// The grant; or the denial with what is withdrawn, for a right that ended must not wait until
    /// the volume's other vaults are mended.
    async fn grant(
        &self,
        asked: &Asked,
        subject: &Subject,
    ) -> Result<Result<Granted, Denying>, Unavailable> {
        if !self.vaults.is_fresh(Instant::now()) {
            return Err(Unavailable::Stale);
        }
        let wanted = asked.request.vaults.iter();
        let wanted: Vec<VaultRef> = wanted.map(|vault| vault.reference.clone()).collect();
        let (snapshot, unreadable) = self.snapshot(&wanted);
        let seen = |vault: &VaultRef| snapshot.get(vault).map(|seen| &seen.vault);
        let planned = match unreadable {
            Some(vault) => Err(unreadable_to(subject, vault)),
            None => plan(&asked.request, subject, seen, &asked.held).map_err(Denied::from),
        };
        let granted = match planned {
            Ok(plan) => grant::fill(plan, &snapshot, &self.providers).await,
            Err(denied) => Err(denied),
        };
        Ok(granted.map_err(|why| Denying {
            why,
            withdrawn: withdrawn(subject, seen, &asked.held),
        }))
    }

    /// The vaults of the request, all as of now, and the first that cannot be read. That one must
    /// not look deleted: its files would go from running pods.
    fn snapshot(&self, vaults: &[VaultRef]) -> (Snapshot, Option<VaultRef>) {
        let mut snapshot = Snapshot::new();
        let mut unreadable = None;
        for vault in vaults {
            match self.vaults.seen(vault) {
                None => {}
                Some(Seen::Readable(seen)) => {
                    snapshot.insert(vault.clone(), seen);
                }
                Some(Seen::Unreadable { .. }) => {
                    unreadable.get_or_insert_with(|| vault.clone());
                }
            }
        }
        (snapshot, unreadable)
    }

    /// The first vault that the volume has seen later than this replica, after a short wait.
    async fn behind(&self, asked: &Asked) -> Result<Option<VaultRef>, Unavailable> {
        let deadline = Instant::now() + CATCH_UP;
        for held in &asked.held.vaults {
            let mut wanted = asked.request.vaults.iter();
            if !wanted.any(|vault| vault.reference == held.reference) {
                continue;
            }
            if self.may_be_behind(held).await?
                && !self
                    .vaults
                    .wait_for(&held.reference, &held.uid, held.generation, deadline)
                    .await
            {
                return Ok(Some(held.reference.clone()));
            }
        }
        Ok(None)
    }

    /// Whether to wait for this vault at all. One that is not in the view was deleted, or has not
    /// arrived yet: only the API server knows, and the difference is whether a running pod's files
    /// go.
    async fn may_be_behind(&self, held: &HeldVault) -> Result<bool, Unavailable> {
        let seen = self.vaults.seen(&held.reference);
        if seen.is_some_and(|seen| seen.version().0 == held.uid) {
            return Ok(true);
        }
        let vaults = Api::<SecretVault>::namespaced(self.client.clone(), &held.reference.namespace);
        let stored = vaults.get_metadata_opt(&held.reference.name);
        let stored = Fault::within(READ_DEADLINE, stored).await?;
        Ok(stored.is_some_and(|stored| stored.metadata.uid.as_deref() == Some(&held.uid)))
    }
}

/// Another namespace's vault is spoken of as if it were missing.
fn unreadable_to(subject: &Subject, vault: VaultRef) -> Denied {
    if vault.namespace == subject.namespace {
        return Denied::Unreadable { vault };
    }
    Denied::Refusal(Refusal::Forbidden {
        account: format!("{}/{}", subject.namespace, subject.service_account),
        vaults: vec![vault],
        entry: None,
    })
}

/// How long a replica that is behind waits.
const CATCH_UP: Duration = Duration::from_secs(2);

/// How long reading one vault's metadata may take.
const READ_DEADLINE: Duration = Duration::from_secs(3);
