//! The operator, as the agent asks it for volumes.

use std::{io, time::Duration};

use prost::Message;
use secretvault_delivery::{
    MAX_BYTES_FOR_SEVERAL, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES,
    v1::{
        Grant, ReleaseRequest, ReleaseResponse, Verdict, Volume, delivery_client::DeliveryClient,
        verdict::Outcome,
    },
};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Request, Status};

use super::{Address, Credentials, ReleaseError, line::Line};

/// A client that connects when it must, and as often as it must.
#[derive(Debug)]
pub struct Operator {
    line: Line,
    credentials: Credentials,
}

/// What the operator says of one volume.
#[derive(Debug)]
pub struct Answer {
    /// The grant, or why there is none.
    pub verdict: Result<Grant, ReleaseError>,
    /// How much room the answer took: about what the next one will take.
    pub bytes: usize,
}

impl Operator {
    /// Makes the client. Connects at the first call.
    pub fn new(address: Address, credentials: Credentials) -> Self {
        Self {
            line: Line::new(address, credentials.ca_file.clone()),
            credentials,
        }
    }

    /// Ends connections that have become old. Never returns.
    pub async fn tend(&self) {
        self.line.tend().await;
    }

    /// Asks for volumes: an answer for each, in their order. What another replica may do better is
    /// asked once more, at once; the first answers hold where that brings none in time.
    ///
    /// # Errors
    /// No answer at all, and why. Never takes longer than `patience`.
    pub async fn release(
        &self,
        volumes: &[Volume],
        patience: Duration,
    ) -> Result<Vec<Answer>, ReleaseError> {
        let answers = self.release_twice(volumes, patience).await;
        if !doubtful(&answers).is_empty() {
            self.line.hang_up();
        }
        answers
    }

    /// Asks for one volume.
    ///
    /// # Errors
    /// As [`Operator::release`].
    pub async fn release_one(
        &self,
        volume: Volume,
        patience: Duration,
    ) -> Result<Answer, ReleaseError> {
        let mut answers = self.release(&[volume], patience).await?;
        answers.pop().ok_or(NOT_ONE_EACH)
    }

    /// Whether the operator's CA and our own token are there: what readiness means.
    ///
    /// # Errors
    /// What is missing.
    pub async fn check_credentials(&self) -> io::Result<()> {
        self.credentials.check().await
    }

    async fn release_twice(
        &self,
        volumes: &[Volume],
        patience: Duration,
    ) -> Result<Vec<Answer>, ReleaseError> {
        let deadline = Instant::now() + patience;
        let late = || Err(ReleaseError::TimedOut(patience));
        let first = timeout_at(deadline, self.call(volumes, patience)).await;
        let first = first.unwrap_or_else(|_elapsed| late());
        let doubtful = doubtful(&first);
        let left = deadline.saturating_duration_since(Instant::now());
        if doubtful.is_empty() || left.is_zero() {
            return first;
        }
        // Also a connection that died while it was idle shows only now.
        self.line.hang_up();
        let Ok(mut answers) = first else {
            let second = timeout_at(deadline, self.call(volumes, left)).await;
            return second.unwrap_or_else(|_elapsed| late());
        };
        let again: Vec<Volume> = doubtful.iter().map(|at| volumes[*at].clone()).collect();
        let second = timeout_at(deadline, self.call(&again, left)).await;
        let second = second.unwrap_or_else(|_elapsed| late()).unwrap_or_default();
        for (at, answer) in doubtful.into_iter().zip(second) {
            answers[at] = answer;
        }
        Ok(answers)
    }

    async fn call(
        &self,
        volumes: &[Volume],
        patience: Duration,
    ) -> Result<Vec<Answer>, ReleaseError> {
        let mut request = Request::new(ReleaseRequest {
            volumes: volumes.to_vec(),
        });
        request.set_timeout(patience);
        let authorization = self.credentials.authorization().await;
        request.metadata_mut().insert(
            "authorization",
            authorization.map_err(ReleaseError::AgentToken)?,
        );
        let mut client = DeliveryClient::new(self.line.channel())
            .max_decoding_message_size(most_bytes(volumes.len()))
            .max_encoding_message_size(MAX_REQUEST_BYTES);
        match client.release(request).await {
            Ok(response) => answers(response.into_inner(), volumes.len()),
            Err(status) => Err(not_answered(&status, volumes.len())),
        }
    }
}

/// Which answers another replica may better. All of none: there are none.
fn doubtful(answers: &Result<Vec<Answer>, ReleaseError>) -> Vec<usize> {
    let is_doubtful = |answer: &Answer| {
        let error = answer.verdict.as_ref().err();
        error.is_some_and(ReleaseError::is_of_one_replica)
    };
    match answers {
        Err(error) if error.is_of_one_replica() => vec![0],
        Err(_) => Vec::new(),
        Ok(answers) => {
            let numbered = answers.iter().enumerate();
            let doubtful = numbered.filter(|(_, answer)| is_doubtful(answer));
            doubtful.map(|(at, _)| at).collect()
        }
    }
}

/// How large an answer may be. One about a single volume has to fit in any case.
fn most_bytes(volumes: usize) -> usize {
    if volumes > 1 {
        MAX_BYTES_FOR_SEVERAL
    } else {
        MAX_MESSAGE_BYTES
    }
}

fn not_answered(status: &Status, volumes: usize) -> ReleaseError {
    // The operator's own limit, and ours, which is checked before the message is read.
    let too_large = matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange);
    if too_large && volumes > 1 {
        return ReleaseError::TooLarge;
    }
    ReleaseError::from_status(status)
}

fn answers(response: ReleaseResponse, asked: usize) -> Result<Vec<Answer>, ReleaseError> {
    if response.verdicts.len() != asked {
        return Err(NOT_ONE_EACH);
    }
    Ok(response.verdicts.into_iter().map(Answer::from).collect())
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        Self {
            bytes: verdict.encoded_len(),
            verdict: match verdict.outcome {
                Some(Outcome::Grant(grant)) => Ok(grant),
                Some(Outcome::Denial(denial)) => Err(ReleaseError::from_denial(&denial)),
                None => Err(ReleaseError::Malformed("a verdict without an outcome")),
            },
        }
    }
}

const NOT_ONE_EACH: ReleaseError = ReleaseError::Malformed("not one verdict for each volume");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_is_what_fewer_volumes_can_help() {
        for code in [Code::ResourceExhausted, Code::OutOfRange] {
            let status = Status::new(code, "too large");
            let several = not_answered(&status, 2);
            assert!(matches!(several, ReleaseError::TooLarge), "{several}");
            let one = not_answered(&status, 1);
            assert!(!matches!(one, ReleaseError::TooLarge), "{one}");
        }
        let other = not_answered(&Status::unavailable("no"), 2);
        assert!(matches!(other, ReleaseError::Unavailable(_)), "{other}");
    }

    #[test]
    fn there_must_be_one_verdict_for_each_volume() {
        let response = |count| ReleaseResponse {
            verdicts: vec![Verdict::default(); count],
        };
        for (count, asked) in [(0, 1), (1, 2), (3, 2)] {
            assert!(answers(response(count), asked).is_err());
        }
        assert_eq!(answers(response(2), 2).unwrap().len(), 2);
    }
}
