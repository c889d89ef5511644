//! The gate: nobody but a node agent gets further, nor has a byte of their message read.
//!
//! It stands before the gRPC service, so that who cannot prove to be an agent cannot make the
//! operator hold a message of many megabytes. Who can is one of many agents: a node's requests wait
//! for each other before they keep those of another node waiting, and what is in them is counted
//! before it is decoded.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secretvault_audit::{Record, Request as Asked, Verdict};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tracing::warn;
use zeroize::Zeroizing;

use super::identity::{AgentIdentity, IdentityError};
use super::message;
use super::metrics::{RequestOutcome, VerdictOutcome};
use super::outline::Unfit;
use super::review::Reviews;
use super::room::kept_until_sent;
use super::service::{Release, WATCH};
use super::strangers::Strangers;
use super::verdict::Unavailable;
use crate::audit::{Audit, Unrecorded};

/// Lets agents through, and tells the service which one it is.
pub(super) async fn admit(
    State(release): State<Arc<Release>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let token = bearer(request.headers()).map(|token| Zeroizing::new(token.to_owned()));
    match release.agents.identify(token.as_ref()).await {
        Ok(agent) => {
            let node = agent.node.clone();
            request.extensions_mut().insert(agent);
            let served = release.in_turn(&node, release.serve(request, &node, next, begun));
            match timeout(DEADLINE, served).await {
                Ok(Ok(answer)) => kept_until_sent(answer),
                Ok(Err(cause)) => release.refuse(&Refused::Unavailable(cause), begun),
                Err(_elapsed) => release.refuse(&Refused::Unavailable(Unavailable::Slow), begun),
            }
        }
        Err(refused) => release.refuse(&refused, begun),
    }
}

/// Why a request does not get further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Whoever it is, it is no agent.
    Identity(IdentityError),
    /// The operator cannot serve now.
    Unavailable(Unavailable),
}

/// Tells agents from all others.
pub(super) struct Agents {
    pub(super) reviews: Reviews,
    /// The agents' user name.
    pub(super) account: String,
    pub(super) audit: Audit,
    pub(super) strangers: Strangers,
}

impl Agents {
    /// Whose token it is. Some of the [`Strangers`] leave a line in the audit log.
    pub(super) async fn identify(
        &self,
        token: Option<&Zeroizing<String>>,
    ) -> Result<AgentIdentity, Refused> {
        let accepted = match token {
            None => Err(IdentityError::NotAuthenticated),
            Some(token) => {
                let status = self.reviews.review(token).await;
                let status = status.map_err(|fault| Refused::Unavailable(fault.into()))?;
                AgentIdentity::accept(&status, &self.account)
            }
        };
        if let Err(error) = accepted {
            let recorded = self.record(error).await;
            recorded.map_err(|error| Refused::Unavailable(error.into()))?;
        }
        accepted.map_err(Refused::Identity)
    }

    async fn record(&self, error: IdentityError) -> Result<(), Unrecorded> {
        if self.strangers.take_turn(Instant::now()) {
            self.audit.must(rejected(error)).await
        } else {
            Ok(())
        }
    }
}

impl Release {
    /// Serves a bounded number of requests at once, of all nodes and of one; the others wait a
    /// moment. A stream is served once it has begun: its place is none of these.
    async fn in_turn(
        &self,
        node: &str,
        served: impl Future<Output = Response>,
    ) -> Result<Response, Unavailable> {
        match timeout(QUEUE_LIMIT, self.turns.take(node, 1)).await {
            Ok(Some(_turn)) => Ok(served.await),
            Ok(None) | Err(_) => Err(Unavailable::Busy),
        }
    }

    /// Serves a request when its message is there and fit to be decoded.
    async fn serve(&self, request: Request, node: &str, next: Next, begun: Instant) -> Response {
        if request.uri().path() == WATCH {
            return next.run(request.map(message::each)).await;
        }
        match message::whole(request, node, &self.messages).await {
            Ok((request, _share)) => next.run(request).await,
            Err(unfit) => self.turn_away(&unfit, begun),
        }
    }

    fn turn_away(&self, unfit: &Unfit, begun: Instant) -> Response {
        self.metrics
            .request(unfit.into(), begun.elapsed().as_secs_f64());
        warn!(cause = %unfit, "release request not answered");
        Status::from(unfit).into_http()
    }

    fn refuse(&self, refused: &Refused, begun: Instant) -> Response {
        let outcome = match refused {
            Refused::Identity(_) => RequestOutcome::AgentRejected,
            Refused::Unavailable(_) => RequestOutcome::Unavailable,
        };
        self.metrics.request(outcome, begun.elapsed().as_secs_f64());
        if let Refused::Unavailable(cause) = refused {
            warn!(%cause, "release request not served");
        }
        Status::from(refused).into_http()
    }
}

impl From<&Refused> for Status {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Identity(error @ IdentityError::NotAuthenticated) => {
                Self::unauthenticated(format!("the agent's token is rejected: {error}"))
            }
            Refused::Identity(
                error @ (IdentityError::Claim(_)
                | IdentityError::NotAServiceAccount
                | IdentityError::NotTheAgent
                | IdentityError::OtherAudience
                | IdentityError::OtherNode
                | IdentityError::OtherPod(_)),
            ) => Self::permission_denied(format!("the agent's token is rejected: {error}")),
            Refused::Unavailable(cause) => cause.into(),
        }
    }
}

impl From<&Unavailable> for Status {
    fn from(cause: &Unavailable) -> Self {
        Self::unavailable(cause.to_string())
    }
}

/// The token of `authorization: Bearer …`, if it is one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let usable = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    usable.then_some(token)
}

fn rejected(error: IdentityError) -> Record {
    Record::Request(Asked {
        verdict: Verdict::Denial,
        reason: VerdictOutcome::AgentRejected.word(),
        message: (&error).into(),
    })
}

/// How long a request waits for its turn.
const QUEUE_LIMIT: Duration = Duration::from_secs(2);

/// How long a request may take, with the time that its message needs to arrive. No agent waits half
/// as long.
const DEADLINE: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;

    fn with_headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_bearer_token_is_read_and_nothing_else() {
        assert_eq!(bearer(&with_headers(&["Bearer abc.def"])), Some("abc.def"));
        assert_eq!(bearer(&with_headers(&["bearer abc.def"])), Some("abc.def"));
        let refused: [&[&str]; 6] = [
            &[],
            &["abc.def"],
            &["Basic abc.def"],
            &["Bearer "],
            &["Bearer abc def"],
            &["Bearer abc.def", "Bearer abc.def"],
        ];
        for values in refused {
            assert_eq!(bearer(&with_headers(values)), None, "{values:?}");
        }
    }
}
