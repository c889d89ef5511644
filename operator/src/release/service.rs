//! The Delivery service: takes an agent's volumes, and answers with a verdict for each.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use prost::Message;
use secretvault_delivery::v1::{
    Denial, ReleaseRequest, ReleaseResponse, Verdict, Volume,
    delivery_server::{Delivery, DeliveryServer},
    verdict::Outcome,
};
use secretvault_delivery::{
    AGENT_AUDIENCE, MAX_MESSAGE_BYTES, MAX_VOLUMES_PER_REQUEST, POD_AUDIENCE,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};
use tracing::warn;

use super::audit::{self, Audit, Kind, Line};
use super::gate;
use super::identity::{AgentIdentity, service_account_user};
use super::metrics::{ReleaseMetrics, RequestOutcome, VerdictOutcome};
use super::review::Reviews;
use super::verdict::{Decision, Judge, Unavailable};
use crate::keys::Providers;
use crate::vaults::Vaults;

/// What the service needs.
#[derive(Clone)]
pub struct Parts {
    /// For token reviews, and to read pods and the metadata of vaults.
    pub client: Client,
    /// The operator's own namespace: the agents' too.
    pub namespace: String,
    /// The agents' service account there.
    pub agent_account: String,
    /// This replica's view of the vaults.
    pub vaults: Vaults,
    /// This replica's view of the key providers.
    pub providers: Providers,
    /// Where verdicts are written.
    pub audit: Audit,
    /// What is counted.
    pub metrics: ReleaseMetrics,
}

/// The service behind its gate, to be served over TLS.
pub fn router(parts: Parts) -> axum::Router {
    let release = Arc::new(Release::new(parts));
    let service = DeliveryServer::from_arc(Arc::clone(&release))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    tonic::service::Routes::new(service)
        .into_axum_router()
        .layer(axum::middleware::from_fn_with_state(release, gate::admit))
}

/// The service.
pub(super) struct Release {
    pub(super) agents: Reviews,
    pub(super) judge: Judge,
    pub(super) agent_account: String,
    pub(super) audit: Audit,
    pub(super) metrics: ReleaseMetrics,
    pub(super) permits: Semaphore,
}

impl Release {
    fn new(parts: Parts) -> Self {
        Self {
            agents: Reviews::new(parts.client.clone(), AGENT_AUDIENCE),
            judge: Judge {
                reviews: Reviews::new(parts.client.clone(), POD_AUDIENCE),
                client: parts.client,
                vaults: parts.vaults,
                providers: parts.providers,
            },
            agent_account: service_account_user(&parts.namespace, &parts.agent_account),
            audit: parts.audit,
            metrics: parts.metrics,
            permits: Semaphore::new(MAX_REQUESTS),
        }
    }

    /// A verdict for each volume, in their order.
    async fn verdicts(
        &self,
        volumes: Vec<Volume>,
        agent: &AgentIdentity,
    ) -> Result<ReleaseResponse, NotAnswered> {
        let verdicts = Vec::with_capacity(volumes.len());
        let decided = stream::iter(volumes).map(|volume| self.verdict(volume, agent));
        let verdicts = decided.buffered(CONCURRENCY).try_fold(
            (verdicts, 0),
            |(mut verdicts, size), verdict| async move {
                let size = size + verdict.encoded_len() + FRAMING;
                if size > MAX_MESSAGE_BYTES {
                    return Err(NotAnswered::TooLarge);
                }
                verdicts.push(verdict);
                Ok((verdicts, size))
            },
        );
        let (verdicts, _) = timeout(DEADLINE, verdicts)
            .await
            .map_err(|_elapsed| NotAnswered::Unavailable(Unavailable::Slow))??;
        Ok(ReleaseResponse { verdicts })
    }

    /// One verdict: decided, counted and logged.
    async fn verdict(&self, volume: Volume, agent: &AgentIdentity) -> Result<Verdict, NotAnswered> {
        let decision = self.judge.decide(&volume, agent).await?;
        let (line, outcome) = conclude(decision, agent, Timestamp::now());
        self.audit.log(&line).await.map_err(Unavailable::from)?;
        self.metrics.verdict(line.reason);
        Ok(Verdict {
            outcome: Some(outcome),
        })
    }
}

/// Makes of a decision what is logged and what is answered.
fn conclude(decision: Decision, agent: &AgentIdentity, now: Timestamp) -> (Line, Outcome) {
    let line = Line {
        audit: Kind::Release,
        time: now,
        verdict: audit::Verdict::Grant,
        reason: VerdictOutcome::Granted,
        node: Some(agent.node.clone()),
        pod: Some(decision.pod),
        vaults: Vec::new(),
        message: None,
        withdrawn: Vec::new(),
    };
    match decision.verdict {
        Ok(granted) => (
            Line {
                vaults: granted.vaults,
                ..line
            },
            Outcome::Grant(granted.grant),
        ),
        Err(denying) => {
            let denial = Denial::from(&denying);
            let line = Line {
                verdict: audit::Verdict::Denial,
                reason: denying.why.reason().into(),
                message: Some((&denying.why).into()),
                withdrawn: denial.withdrawn.clone(),
                ..line
            };
            (line, Outcome::Denial(denial))
        }
    }
}

/// Why a whole request of an agent has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotAnswered {
    /// More verdicts than a message can carry.
    #[error("the answer is larger than a message: ask for fewer volumes at once")]
    TooLarge,
    /// More volumes than a request may have.
    #[error("more than {MAX_VOLUMES_PER_REQUEST} volumes in one request")]
    TooMany,
    /// The operator cannot serve now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The gate did not let this request through: a mistake in how the service is put together.
    #[error("no agent is known for this request")]
    Ungated,
}

impl From<NotAnswered> for Status {
    fn from(error: NotAnswered) -> Self {
        match error {
            NotAnswered::TooLarge => Self::resource_exhausted(error.to_string()),
            NotAnswered::TooMany => Self::invalid_argument(error.to_string()),
            NotAnswered::Unavailable(cause) => (&cause).into(),
            NotAnswered::Ungated => Self::unauthenticated(error.to_string()),
        }
    }
}

impl From<NotAnswered> for RequestOutcome {
    fn from(error: NotAnswered) -> Self {
        match error {
            NotAnswered::TooLarge | NotAnswered::TooMany => Self::Invalid,
            NotAnswered::Unavailable(_) => Self::Unavailable,
            NotAnswered::Ungated => Self::AgentRejected,
        }
    }
}

#[tonic::async_trait]
impl Delivery for Release {
    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let begun = Instant::now();
        let answer = self.answer(request).await;
        let outcome = answer
            .as_ref()
            .map_or_else(|error| (*error).into(), |_| RequestOutcome::Answered);
        self.metrics.request(outcome, begun.elapsed().as_secs_f64());
        match answer {
            Ok(answer) => Ok(Response::new(answer)),
            Err(error) => {
                warn!(cause = %error, "release request not answered");
                Err(error.into())
            }
        }
    }
}

impl Release {
    async fn answer(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<ReleaseResponse, NotAnswered> {
        let (_, extensions, ReleaseRequest { volumes }) = request.into_parts();
        let agent = extensions
            .get::<AgentIdentity>()
            .ok_or(NotAnswered::Ungated)?;
        if volumes.len() > MAX_VOLUMES_PER_REQUEST {
            return Err(NotAnswered::TooMany);
        }
        self.verdicts(volumes, agent).await
    }
}

/// Volumes of one request that are decided at once.
const CONCURRENCY: usize = 8;

/// Requests that are served at once; more wait a moment.
const MAX_REQUESTS: usize = 64;

/// How long a whole request may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a verdict costs in a message beyond itself.
const FRAMING: usize = 8;
