//! What went wrong with the API server, in words that are safe to log.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;

/// A failed request to the API server.
///
/// Keeps no more than a status code or a category of the cause: the text of a client error may
/// quote what was sent or received, and a token review holds a token both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer is not what the API promises.
    Answer,
    /// No connection, or it broke.
    Connection,
    /// The API server refused with this HTTP status.
    Status(u16),
    /// No answer in time.
    Timeout,
}

impl Fault {
    /// Waits for an answer of the API server, but not longer than `limit`.
    ///
    /// # Errors
    /// The request failed, or took longer.
    pub async fn within<T>(
        limit: Duration,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Self> {
        match timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| Self::from(&error)),
            Err(_elapsed) => Err(Self::Timeout),
        }
    }
}

impl From<&kube::Error> for Fault {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "kube's enum has foreign, gated variants"
    )]
    fn from(error: &kube::Error) -> Self {
        match error {
            // What kube makes of a line that is no event: any JSON object passes for a status.
            kube::Error::Api(status) if status.code == 0 => Self::Answer,
            kube::Error::Api(status) => Self::Status(status.code),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Self::Answer,
            _ => Self::Connection,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("the API server's answer cannot be read"),
            Self::Connection => f.write_str("the API server cannot be reached"),
            Self::Status(code) => write!(f, "the API server answered {code}"),
            Self::Timeout => f.write_str("the API server did not answer in time"),
        }
    }
}

impl std::error::Error for Fault {}
