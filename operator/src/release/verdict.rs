//! The verdict on one volume, from its pod's token to its files.
//!
//! The steps, each of which can end it: the token is reviewed, and must prove the pod that the
//! agent names, on the agent's own node; the pod itself is read and must live; the volume's
//! attributes are read as that pod's; this replica must not be behind what the volume shows
//! already; the plan says which files the pod may have, by the labels of its namespace too if a rule
//! looks at them; then the vaults' keys are opened, and keys of exactly those files are derived.

use std::time::Duration;

use kube::Client;
use secretvault_delivery::v1::Volume;
use secretvault_vault::plan::{Held, Plan, Refusal, plan};
use secretvault_vault::{Subject, VaultRef, needs_namespace_labels};
use thiserror::Error;
use tokio::time::Instant;

use super::asked::{self, Asked, claimed_pod};
use super::audited;
use super::catch_up::{self, BEFORE_REFUSING, Sight};
use super::data_keys::{self, DataKeys};
use super::decision::{Decision, Ruling};
use super::denied::{Denied, Denying};
use super::draft::{Draft, Grounds, Planned};
use super::grant::{self, Handles};
use super::identity::{AgentIdentity, PodIdentity};
use super::metrics::{ApiCall, ApiSeconds};
use super::pod::{self, LivePod};
use super::review::Reviews;
use super::told::Told;
use crate::audit::Unrecorded;
use crate::keys::{Namespaces, Providers};
use crate::tls::HandleKeys;
use crate::vaults::{Fault, Vaults};

/// What a verdict is made of.
pub(super) struct Judge {
    pub(super) client: Client,
    pub(super) vaults: Vaults,
    pub(super) namespaces: Namespaces,
    pub(super) providers: Providers,
    pub(super) handles: HandleKeys,
    pub(super) reviews: Reviews,
    pub(super) told: Told,
    pub(super) seconds: ApiSeconds,
}

/// Why there is no verdict: the operator cannot serve now. Never a denial, and no volume changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unavailable {
    /// A verdict that cannot be logged is not given.
    #[error(transparent)]
    Audit(#[from] Unrecorded),
    /// Too many requests at once.
    #[error("this replica is busy")]
    Busy,
    /// The API server could not be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The labels of the pod's namespace could not be read, and a rule may look at them.
    #[error("the API server did not answer for the pod's namespace")]
    Namespace,
    /// The whole request took too long.
    #[error("the request took too long")]
    Slow,
    /// What this replica sees is too old, or not there yet.
    #[error("this replica has not heard of the API server for too long")]
    Stale,
}

impl Judge {
    /// Decides about one volume of an agent, but for its keys. Nothing is told yet.
    ///
    /// # Errors
    /// Only if the operator cannot serve; everything about the volume is in the draft.
    pub(super) async fn decide(
        &self,
        volume: &Volume,
        agent: &AgentIdentity,
    ) -> Result<Draft, Unavailable> {
        let claimed = claimed_pod(volume);
        let status = self.reviews.review(&volume.pod_token).await?;
        let identity = match PodIdentity::accept(&status) {
            Ok(identity) => identity,
            Err(error) => {
                let pod = audited::claimed(&claimed);
                let why = error.into();
                return Ok(Draft::Unproved { pod, why });
            }
        };
        let proved = identity
            .is_named_by(&claimed)
            .and_then(|()| identity.on_node_of(agent));
        match proved {
            Ok(()) => self.decide_for(identity, volume).await,
            Err(error) => Ok(denied(identity, Denied::from(error))),
        }
    }

    /// Opens the data keys that a draft needs: within `patience`, or it is denied.
    pub(super) async fn open_keys(&self, draft: Draft, patience: Duration) -> Draft {
        let mut planned = match draft {
            Draft::Planned(planned) => planned,
            Draft::Denied { .. } | Draft::Unproved { .. } => return draft,
        };
        let (plan, snapshot) = (&planned.plan, &planned.snapshot);
        let opened = data_keys::open(plan, snapshot, &self.providers, patience).await;
        match opened {
            Ok(keys) => {
                planned.keys = keys;
                Draft::Planned(planned)
            }
            Err(why) => Draft::Denied {
                denying: planned.grounds.deny(why),
                identity: planned.identity,
            },
        }
    }

    /// Ends a draft. What is granted is copied here.
    pub(super) fn conclude(&self, draft: Draft) -> Decision {
        match draft {
            Draft::Denied { identity, denying } => Decision::about(identity, denying.into()),
            Draft::Planned(planned) => self.fill(*planned),
            Draft::Unproved { pod, why } => Decision::of(pod, Denying::from(why).into()),
        }
    }

    /// The draft for a pod whose token is proved.
    async fn decide_for(
        &self,
        identity: PodIdentity,
        volume: &Volume,
    ) -> Result<Draft, Unavailable> {
        let reading = pod::read(&self.client, &identity);
        let living = self.seconds.of(ApiCall::PodRead, reading).await?;
        let read = asked::held(volume).map_err(Denied::from).and_then(|held| {
            let live = pod::live(living.as_ref(), &identity, !held.files.is_empty())?;
            Ok((live, held))
        });
        let (live, held) = match read {
            Ok(read) => read,
            Err(why) => return Ok(denied(identity, why)),
        };
        let asked = match asked::request(volume, &identity, &live.subject) {
            Ok(request) => Asked { request, held },
            Err(why) => {
                let denying = self.deny_unread(why, held, &live.subject).await?;
                return Ok(Draft::Denied { identity, denying });
            }
        };
        if let Some(vault) = catch_up::behind(&self.client, &self.vaults, &asked).await? {
            return Ok(denied(identity, Denied::Behind { vault }));
        }
        self.draft(asked, identity, live).await
    }

    /// The denial of a volume whose attributes cannot be read. Whoever may label a pod can bring
    /// that about at any time: a right that ended ends all the same, by what the volume holds.
    async fn deny_unread(
        &self,
        why: Denied,
        held: Held,
        subject: &Subject,
    ) -> Result<Denying, Unavailable> {
        if held.files.is_empty() {
            return Ok(why.into());
        }
        self.must_be_fresh()?;
        let vaults = || held.vaults.iter().map(|vault| &vault.reference);
        let sight = Sight::of(&self.vaults, vaults());
        let seen = |vault: &VaultRef| sight.vault(vault);
        let labels = needs_namespace_labels(&subject.namespace, vaults(), seen);
        let subject = self.labelled(subject, labels).await?;
        let grounds = Grounds {
            sight,
            subject,
            held,
        };
        Ok(grounds.deny(why))
    }

    async fn draft(
        &self,
        asked: Asked,
        identity: PodIdentity,
        live: LivePod,
    ) -> Result<Draft, Unavailable> {
        self.must_be_fresh()?;
        let Look {
            sight,
            subject,
            plan,
        } = self.plan(&asked, &live.subject).await?;
        let (first, snapshot) = (asked.is_first(), sight.snapshot());
        let grounds = Grounds {
            sight,
            subject,
            held: asked.held,
        };
        let planned = plan.and_then(|plan| {
            let bytes = grant::planned_bytes(&plan, &snapshot)?;
            Ok((plan, bytes))
        });
        let (plan, bytes) = match planned {
            Ok(planned) => planned,
            Err(why) => {
                let denying = grounds.deny(why);
                return Ok(Draft::Denied { identity, denying });
            }
        };
        Ok(Draft::Planned(Box::new(Planned {
            identity,
            live,
            grounds,
            snapshot,
            plan,
            bytes,
            keys: DataKeys::new(),
            first,
        })))
    }

    fn must_be_fresh(&self) -> Result<(), Unavailable> {
        if self.vaults.is_fresh(Instant::now()) {
            Ok(())
        } else {
            Err(Unavailable::Stale)
        }
    }

    /// The plan, and what it was made of. A first plan that refuses, or does without an optional
    /// vault, is made anew if that was for want of what has arrived meanwhile.
    async fn plan(&self, asked: &Asked, subject: &Subject) -> Result<Look, Unavailable> {
        let deadline = Instant::now() + BEFORE_REFUSING;
        loop {
            let sight = Sight::of(&self.vaults, asked.vaults());
            let seen = |vault: &VaultRef| sight.vault(vault);
            let labels = needs_namespace_labels(&subject.namespace, asked.vaults(), seen);
            let subject = self.labelled(subject, labels).await?;
            let plan = match sight.unreadable(asked) {
                Some(vault) => Err(unreadable_to(&subject, vault)),
                None => {
                    let seen = |vault: &VaultRef| sight.vault(vault);
                    plan(&asked.request, &subject, seen, &asked.held).map_err(Denied::from)
                }
            };
            let missed = missed(asked, &plan);
            let (client, vaults) = (&self.client, &self.vaults);
            if !catch_up::moves_on(client, vaults, &sight, missed, deadline).await {
                return Ok(Look {
                    sight,
                    subject,
                    plan,
                });
            }
        }
    }

    /// The subject, with the labels of its namespace if they are looked at.
    async fn labelled(&self, subject: &Subject, labels: bool) -> Result<Subject, Unavailable> {
        let mut subject = subject.clone();
        if labels {
            let facts = self.namespaces.facts(&subject.namespace).await;
            let facts = facts.map_err(|_unknown| Unavailable::Namespace)?;
            subject.namespace_labels.clone_from(&facts.labels);
        }
        Ok(subject)
    }

    fn fill(&self, planned: Planned) -> Decision {
        let Planned {
            identity,
            live,
            grounds,
            snapshot,
            plan,
            keys,
            first,
            ..
        } = planned;
        let handles = Handles {
            key: &self.handles,
            identity: &identity,
            env: live.env,
            restart: live.restart,
            notices: &plan.notices,
        };
        let awaited = plan.awaited.iter().map(|vault| handles.awaited(vault));
        let awaited = awaited.filter(|handle| !handle.is_empty()).collect();
        let ruling = match grant::fill(&plan, &snapshot, &keys, &handles) {
            Ok(mut granted) => {
                granted.grant.awaited = awaited;
                Ruling {
                    verdict: Ok(granted),
                    notices: plan.notices,
                    first,
                }
            }
            Err(why) => grounds.deny(why).into(),
        };
        Decision::about(identity, ruling)
    }
}

/// What was decided at one look, and what was seen then.
struct Look {
    sight: Sight,
    subject: Subject,
    plan: Result<Plan, Denied>,
}

fn denied(identity: PodIdentity, why: Denied) -> Draft {
    let denying = why.into();
    Draft::Denied { identity, denying }
}

/// The vaults that a plan refuses the volume for, or, if it is the first, does without.
fn missed<'a>(asked: &Asked, planned: &'a Result<Plan, Denied>) -> &'a [VaultRef] {
    match planned {
        Ok(plan) if asked.is_first() => &plan.lacking,
        Err(Denied::Refusal(
            Refusal::Forbidden { vaults, .. } | Refusal::NotFound { vaults, .. },
        )) => vaults,
        Ok(_) | Err(_) => &[],
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
