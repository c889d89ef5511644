//! The Delivery service: takes an agent's volumes, and answers with a verdict for each.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use prost::Message;
use secretvault_audit as audit;
use secretvault_delivery::v1::{
    Denial, ReleaseRequest, ReleaseResponse, Verdict, Volume, WatchRequest,
    delivery_server::{Delivery, DeliveryServer},
    verdict::Outcome,
};
use secretvault_delivery::{
    AGENT_AUDIENCE, MAX_BYTES_FOR_SEVERAL, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES,
    MAX_WATCH_MESSAGE_BYTES, POD_AUDIENCE,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;
use zeroize::Zeroizing;

use super::decision::Decision;
use super::draft::Draft;
use super::gate::{self, Agents};
use super::identity::{AgentIdentity, service_account_user};
use super::message;
use super::metrics::{ReleaseMetrics, RequestOutcome, VerdictOutcome};
use super::review::Reviews;
use super::room::Room;
use super::shares::Shares;
use super::strangers::Strangers;
use super::told::Told;
use super::verdict::{Judge, Unavailable};
use super::watch::{Events, Watches};
use crate::audit::Audit;
use crate::consumers::Consumers;
use crate::keys::{Namespaces, Providers};
use crate::tls::HandleKeys;
use crate::vaults::Vaults;

/// What the service needs.
#[derive(Clone)]
pub struct Parts {
    /// For token reviews, and to read pods and the metadata of vaults and namespaces.
    pub client: Client,
    /// The operator's own namespace: the agents' too.
    pub namespace: String,
    /// The agents' service account there.
    pub agent_account: String,
    /// The name of this replica's pod: who tells events.
    pub pod_name: String,
    /// This replica's view of the vaults.
    pub vaults: Vaults,
    /// This replica's view of the key providers.
    pub providers: Providers,
    /// Where verdicts are written.
    pub audit: Audit,
    /// What is counted.
    pub metrics: ReleaseMetrics,
    /// What handles are authenticated with.
    pub handles: HandleKeys,
    /// Where is told what the agents that watch hold.
    pub consumers: Consumers,
    /// Owns the streams, which outlive the requests that began them.
    pub streams: TaskTracker,
    /// Ends the streams.
    pub leaving: CancellationToken,
}

/// The service behind its gate, to be served over TLS.
pub fn router(parts: Parts) -> axum::Router {
    let release = Arc::new(Release::new(parts));
    let service = |limit| {
        DeliveryServer::from_arc(Arc::clone(&release))
            .max_decoding_message_size(limit)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    };
    tonic::service::Routes::new(service(MAX_REQUEST_BYTES))
        .into_axum_router()
        .route_service(WATCH, service(MAX_WATCH_MESSAGE_BYTES))
        .layer(axum::middleware::from_fn_with_state(release, gate::admit))
}

/// The service.
pub(super) struct Release {
    pub(super) agents: Arc<Agents>,
    pub(super) judge: Judge,
    watches: Watches,
    pub(super) audit: Audit,
    pub(super) metrics: ReleaseMetrics,
    /// For requests.
    pub(super) turns: Shares,
    /// For large messages of requests.
    pub(super) messages: Shares,
    /// For answers.
    room: Shares,
}

impl Release {
    fn new(parts: Parts) -> Self {
        let seconds = &parts.metrics.api;
        let agents = Arc::new(Agents {
            reviews: Reviews::new(parts.client.clone(), AGENT_AUDIENCE, seconds.clone()),
            account: service_account_user(&parts.namespace, &parts.agent_account),
            audit: parts.audit.clone(),
            strangers: Strangers::default(),
        });
        Self {
            watches: Watches::new(&parts, Arc::clone(&agents)),
            agents,
            judge: Judge {
                reviews: Reviews::new(parts.client.clone(), POD_AUDIENCE, seconds.clone()),
                told: Told::new(parts.client.clone(), &parts.pod_name),
                namespaces: Namespaces::new(parts.client.clone()),
                client: parts.client,
                vaults: parts.vaults,
                providers: parts.providers,
                handles: parts.handles,
                seconds: seconds.clone(),
            },
            audit: parts.audit,
            metrics: parts.metrics,
            turns: Shares::new(MAX_REQUESTS, MAX_REQUESTS_OF_A_NODE),
            messages: message::shares(),
            room: Room::shares(),
        }
    }

    /// A verdict for each volume, in their order, and the room that they have.
    async fn verdicts(
        &self,
        volumes: Vec<Volume>,
        agent: &AgentIdentity,
    ) -> Result<(ReleaseResponse, Room), NotAnswered> {
        let most = if volumes.len() > 1 {
            MAX_BYTES_FOR_SEVERAL
        } else {
            MAX_MESSAGE_BYTES
        };
        let (drafts, bytes) = self.drafts(volumes, agent, most).await?;
        let opening = drafts.into_iter();
        let opening = opening.map(|draft| self.judge.open_keys(draft, KEY_PATIENCE));
        // All at once: who waits for a slow provider keeps nobody else waiting for a fast one.
        let drafts = join_all(opening).await;
        let room = Room::wait(&self.room, &agent.node, bytes).await;
        let room = room.ok_or(Unavailable::Busy)?;
        let decisions = drafts.into_iter();
        let decisions: Vec<_> = decisions.map(|it| self.judge.conclude(it)).collect();
        let verdicts = stream::iter(decisions).map(|decision| self.verdict(decision, agent));
        let verdicts = verdicts.buffered(CONCURRENCY).try_collect().await?;
        let response = ReleaseResponse { verdicts };
        if response.encoded_len() > most {
            return Err(NotAnswered::TooLarge);
        }
        Ok((response, room))
    }

    /// What is decided about each volume but for its keys, and about how many bytes that will be.
    async fn drafts(
        &self,
        volumes: Vec<Volume>,
        agent: &AgentIdentity,
        most: usize,
    ) -> Result<(Vec<Draft>, usize), NotAnswered> {
        let drafts = Vec::with_capacity(volumes.len());
        let decided = stream::iter(volumes).map(|volume| self.draft(volume, agent));
        let drafts = decided.buffered(CONCURRENCY).try_fold(
            (drafts, 0),
            move |(mut drafts, bytes), draft| async move {
                let bytes = bytes + draft.bytes();
                if bytes > most {
                    return Err(NotAnswered::TooLarge);
                }
                drafts.push(draft);
                Ok((drafts, bytes))
            },
        );
        drafts.await
    }

    async fn draft(&self, volume: Volume, agent: &AgentIdentity) -> Result<Draft, NotAnswered> {
        Ok(self.judge.decide(&volume, agent).await?)
    }

    /// One verdict: logged, counted and told.
    async fn verdict(
        &self,
        mut decision: Decision,
        agent: &AgentIdentity,
    ) -> Result<Verdict, NotAnswered> {
        let news = decision.news.take();
        let (reason, release, outcome) = conclude(decision, agent);
        let recorded = self.audit.must(audit::Record::Release(release)).await;
        recorded.map_err(Unavailable::from)?;
        self.metrics.verdict(reason);
        // Not sooner: a verdict that cannot be recorded is not given, and no file goes by it.
        if let Some((pod, news)) = news {
            self.judge.told.tell(&pod, news);
        }
        Ok(Verdict {
            outcome: Some(outcome),
        })
    }
}

/// Makes of a decision what is counted, what is recorded, and what is answered.
fn conclude(
    decision: Decision,
    agent: &AgentIdentity,
) -> (VerdictOutcome, audit::Release, Outcome) {
    let (reason, verdict, vaults, message, outcome) = match decision.verdict {
        Ok(granted) => (
            VerdictOutcome::Granted,
            audit::Verdict::Grant,
            granted.vaults,
            None,
            Outcome::Grant(granted.grant),
        ),
        Err(denying) => (
            denying.why.reason().into(),
            audit::Verdict::Denial,
            Vec::new(),
            Some((&denying.why).into()),
            Outcome::Denial(Denial::from(&denying)),
        ),
    };
    let release = audit::Release {
        verdict,
        reason: reason.word(),
        node: agent.node.as_str().into(),
        pod: decision.pod,
        vaults,
        message,
        overridden: decision.overridden,
        withdrawn: decision.withdrawn,
    };
    (reason, release, outcome)
}

/// Why a whole request of an agent has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotAnswered {
    /// More verdicts than a message can carry.
    #[error("the answer is larger than a message: ask for fewer volumes at once")]
    TooLarge,
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
            NotAnswered::Unavailable(cause) => (&cause).into(),
            NotAnswered::Ungated => Self::unauthenticated(error.to_string()),
        }
    }
}

impl From<NotAnswered> for RequestOutcome {
    fn from(error: NotAnswered) -> Self {
        match error {
            NotAnswered::TooLarge => Self::Invalid,
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
            Ok((answer, room)) => {
                let mut answer = Response::new(answer);
                answer.extensions_mut().insert(room);
                Ok(answer)
            }
            Err(error) => {
                warn!(cause = %error, "release request not answered");
                Err(error.into())
            }
        }
    }

    type WatchStream = Events;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Events>, Status> {
        let token = gate::bearer(request.metadata().as_ref());
        let token = token.map(|token| Zeroizing::new(token.to_owned()));
        let (_, extensions, requests) = request.into_parts();
        let agent = extensions.get::<AgentIdentity>().cloned();
        let (Some(agent), Some(token)) = (agent, token) else {
            return Err(NotAnswered::Ungated.into());
        };
        let events = self.watches.begin(agent, token, requests)?;
        Ok(Response::new(events))
    }
}

impl Release {
    async fn answer(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<(ReleaseResponse, Room), NotAnswered> {
        let (_, extensions, ReleaseRequest { volumes }) = request.into_parts();
        let agent = extensions
            .get::<AgentIdentity>()
            .ok_or(NotAnswered::Ungated)?;
        let verdicts = timeout(DEADLINE, self.verdicts(volumes, agent)).await;
        verdicts.unwrap_or(Err(NotAnswered::Unavailable(Unavailable::Slow)))
    }
}

/// What the agents call to watch.
pub(super) const WATCH: &str = "/secretvault.delivery.v1.Delivery/Watch";

/// Volumes of one request that are decided at once.
const CONCURRENCY: usize = 8;

/// Requests that are served at once; more wait a moment.
const MAX_REQUESTS: usize = 64;

/// Likewise of one node. Its agent asks for six things at once at most, while it begins a stream.
const MAX_REQUESTS_OF_A_NODE: usize = 8;

/// How long a whole request may take, once its message is there: twice as long as an agent waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long volumes wait for their key providers. A provider gives up after three seconds, which
/// comes first and says why; what nobody waits for any more is given up too, and so a provider that
/// needs two seconds would never serve whoever waits for less. Agents wait for five.
const KEY_PATIENCE: Duration = Duration::from_millis(3500);
