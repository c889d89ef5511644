//! The verdict on one volume, from its pod's token to its files.
//!
//! The steps, each of which can end it: the token is reviewed, and must prove the pod that the
//! agent names, on the agent's own node; the pod itself is read and must live; the volume's
//! attributes are read as that pod's; this replica must not be behind what the volume shows
//! already; the plan says which files the pod may have, by the labels of its namespace too if a rule
//! looks at them; keys are derived for exactly those.

use kube::Client;
use secretvault_audit as audit;
use secretvault_delivery::v1::Volume;
use secretvault_vault::plan::{Notice, Plan, Refusal, plan, withdrawn};
use secretvault_vault::{FilePath, Subject, VaultRef, needs_namespace_labels};
use thiserror::Error;
use tokio::time::Instant;

use super::asked::{self, Asked, claimed_pod};
use super::audited;
use super::catch_up::{self, BEFORE_REFUSING, Sight};
use super::denied::{Denied, Denying};
use super::grant::{self, Granted, Handles};
use super::identity::{AgentIdentity, PodIdentity};
use super::metrics::{ApiCall, ApiSeconds};
use super::pod::{self, LivePod};
use super::review::Reviews;
use super::told::{self, Told};
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

/// The verdict, and the pod it is about as far as that was proved.
pub(super) struct Decision {
    pub(super) pod: audit::Pod,
    pub(super) verdict: Result<Granted, Denying>,
    /// What a grant left out, because a later vault has something in its place.
    pub(super) overridden: Vec<audit::Override>,
    /// Held files that go because the pod may not have them any more.
    pub(super) withdrawn: Vec<audit::FilePath>,
}

impl Decision {
    fn of(pod: audit::Pod, ruling: Ruling) -> Self {
        Self {
            pod,
            overridden: ruling.overridden(),
            withdrawn: ruling
                .withdrawn()
                .iter()
                .map(|it| it.as_str().into())
                .collect(),
            verdict: ruling.verdict,
        }
    }
}

/// The verdict, and what is to be said of it.
struct Ruling {
    verdict: Result<Granted, Denying>,
    /// Of a grant.
    notices: Vec<Notice>,
    /// Nobody was told of the notices yet.
    first: bool,
}

impl Ruling {
    fn overridden(&self) -> Vec<audit::Override> {
        let overridden = self.notices.iter().filter_map(Notice::overridden);
        overridden.map(audited::overridden).collect()
    }

    fn withdrawn(&self) -> Vec<String> {
        let paths: Vec<&FilePath> = match &self.verdict {
            Ok(_) => self.notices.iter().filter_map(Notice::withdrawn).collect(),
            Err(denying) => denying.withdrawn.iter().collect(),
        };
        paths.into_iter().map(ToString::to_string).collect()
    }
}

impl From<Denying> for Ruling {
    fn from(denying: Denying) -> Self {
        Self {
            verdict: Err(denying),
            notices: Vec::new(),
            first: false,
        }
    }
}

impl From<Denied> for Ruling {
    fn from(denied: Denied) -> Self {
        Denying::from(denied).into()
    }
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
    /// Decides about one volume of an agent, and has the pod's owner told what there is to tell.
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
                let pod = audited::claimed(&claimed);
                return Ok(Decision::of(pod, Denied::from(error).into()));
            }
        };
        let proved = identity
            .is_named_by(&claimed)
            .and_then(|()| identity.on_node_of(agent));
        let ruling = match proved {
            Ok(()) => self.decide_for(&identity, volume).await?,
            Err(error) => Denied::from(error).into(),
        };
        if let Some(news) = told::news(ruling.first, &ruling.notices, &ruling.withdrawn()) {
            self.told.tell(&identity, news);
        }
        Ok(Decision::of(audited::proven(&identity), ruling))
    }

    /// The verdict for a pod whose token is proved.
    async fn decide_for(
        &self,
        identity: &PodIdentity,
        volume: &Volume,
    ) -> Result<Ruling, Unavailable> {
        let reading = pod::read(&self.client, identity);
        let living = self.seconds.of(ApiCall::PodRead, reading).await?;
        let read = asked::held(volume).map_err(Denied::from).and_then(|held| {
            let live = pod::live(living.as_ref(), identity, !held.files.is_empty())?;
            let asked = Asked::parse(volume, held, identity, &live.subject)?;
            Ok((live, asked))
        });
        let (live, asked) = match read {
            Ok(read) => read,
            Err(denied) => return Ok(denied.into()),
        };
        if let Some(vault) = catch_up::behind(&self.client, &self.vaults, &asked).await? {
            return Ok(Denied::Behind { vault }.into());
        }
        self.grant(&asked, identity, &live).await
    }

    /// The grant; or the denial with what is withdrawn, for a right that ended must not wait until
    /// the volume's other vaults are mended.
    async fn grant(
        &self,
        asked: &Asked,
        identity: &PodIdentity,
        live: &LivePod,
    ) -> Result<Ruling, Unavailable> {
        if !self.vaults.is_fresh(Instant::now()) {
            return Err(Unavailable::Stale);
        }
        let Planned {
            sight,
            subject,
            plan,
        } = self.plan(asked, &live.subject).await?;
        let granted = match plan {
            Ok(plan) => self.fill(plan, &sight, identity, live).await,
            Err(denied) => Err(denied),
        };
        Ok(match granted {
            Ok((granted, notices)) => Ruling {
                verdict: Ok(granted),
                notices,
                first: asked.is_first(),
            },
            Err(why) => Ruling::from(Denying {
                why,
                withdrawn: withdrawn(&subject, |vault| sight.vault(vault), &asked.held),
            }),
        })
    }

    /// The plan, and what it was made of. A first plan that refuses, or does without an optional
    /// vault, is made anew if that was for want of what has arrived meanwhile.
    async fn plan(&self, asked: &Asked, subject: &Subject) -> Result<Planned, Unavailable> {
        let deadline = Instant::now() + BEFORE_REFUSING;
        loop {
            let sight = Sight::of(&self.vaults, asked.vaults());
            let subject = self.labelled(subject, asked, &sight).await?;
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
                return Ok(Planned {
                    sight,
                    subject,
                    plan,
                });
            }
        }
    }

    /// The subject, with the labels of its namespace where a rule may look at them.
    async fn labelled(
        &self,
        subject: &Subject,
        asked: &Asked,
        sight: &Sight,
    ) -> Result<Subject, Unavailable> {
        let mut subject = subject.clone();
        let seen = |vault: &VaultRef| sight.vault(vault);
        if needs_namespace_labels(&subject.namespace, asked.vaults(), seen) {
            let facts = self.namespaces.facts(&subject.namespace).await;
            let facts = facts.map_err(|_unknown| Unavailable::Namespace)?;
            subject.namespace_labels.clone_from(&facts.labels);
        }
        Ok(subject)
    }

    async fn fill(
        &self,
        plan: Plan,
        sight: &Sight,
        identity: &PodIdentity,
        live: &LivePod,
    ) -> Result<(Granted, Vec<Notice>), Denied> {
        let notices = plan.notices.clone();
        let handles = Handles {
            key: &self.handles,
            identity,
            env: live.env,
            restart: live.restart,
            notices: &notices,
        };
        let awaited = plan.awaited.iter().map(|vault| handles.awaited(vault));
        let awaited = awaited.filter(|handle| !handle.is_empty()).collect();
        let snapshot = sight.snapshot();
        let mut granted = grant::fill(plan, &snapshot, &self.providers, &handles).await?;
        granted.grant.awaited = awaited;
        Ok((granted, notices))
    }
}

/// A plan, and what it was made of.
struct Planned {
    sight: Sight,
    subject: Subject,
    plan: Result<Plan, Denied>,
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
