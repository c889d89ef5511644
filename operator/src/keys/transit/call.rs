//! One request: with a login, a turn and a deadline, and its answer read as what it means.

use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::answer::Refused;
use super::session::Login;
use super::text::Version;
use super::{CallError, DEADLINE, Transit};
use crate::keys::KeyFault;
use crate::keys::metrics::Operation;

/// What the server is asked for.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// A wrapped key.
    Decrypt(&'a str),
    /// A payload in base64.
    Encrypt(&'a str),
    /// A wrapped key.
    Rewrap(&'a str),
}

impl Transit {
    /// Asks the server, and notes what that says of its health.
    pub(super) async fn call(&self, ask: Ask<'_>) -> Result<Zeroizing<String>, CallError> {
        if let Some(fault) = self.health.silence() {
            self.metrics.not_asked(ask.operation());
            return Err(CallError::Fault(fault));
        }
        let answer = self.in_turn(ask);
        self.metrics.transit(ask.operation(), answer).await
    }

    async fn in_turn(&self, ask: Ask<'_>) -> Result<Zeroizing<String>, CallError> {
        let deadline = Instant::now() + DEADLINE;
        let Ok(_permit) = timeout_at(deadline, self.permits.acquire()).await else {
            let fault = self.place.unreachable("too many requests wait for it");
            return Err(CallError::Fault(fault));
        };
        // One that waited long for its turn says nothing of the server when its time is over.
        let fair = deadline - Instant::now() >= DEADLINE / 2;
        let Ok(outcome) = timeout_at(deadline, self.attempt(ask)).await else {
            let fault = self.place.unreachable("not within 3 seconds");
            if fair {
                self.health.failed(&self.name, &fault);
            }
            return Err(CallError::Fault(fault));
        };
        match &outcome {
            Err(CallError::Fault(fault)) => self.health.failed(&self.name, fault),
            Ok(_)
            | Err(CallError::DoesNotOpen | CallError::TooOld(_) | CallError::UnknownVersion) => {
                self.health.answered();
            }
        }
        outcome
    }

    async fn attempt(&self, ask: Ask<'_>) -> Result<Zeroizing<String>, CallError> {
        let login = self.session.login().await.map_err(CallError::Fault)?;
        match self.request(&login, ask).await {
            Err(Refused::TokenRejected) => {
                let fault = self.place.fault(Refused::TokenRejected, ask.told(), false);
                let next = self.session.replace(&login, &fault).await;
                let next = next.map_err(CallError::Fault)?;
                let answer = self.request(&next, ask).await;
                if answer == Err(Refused::TokenRejected) {
                    self.session.useless(&next, &fault).await;
                }
                self.read(&next, ask, answer).await
            }
            answer => self.read(&login, ask, answer).await,
        }
    }

    async fn request(&self, login: &Login, ask: Ask<'_>) -> Result<Zeroizing<String>, Refused> {
        let (client, place) = (&login.client, &self.place);
        let answer = match ask {
            Ask::Decrypt(wrapped) => client.decrypt(place, wrapped).await,
            Ask::Encrypt(text) => client.encrypt(place, text).await,
            Ask::Rewrap(wrapped) => client.rewrap(place, wrapped).await,
        };
        let answer = answer
            .map(Zeroizing::new)
            .map_err(|error| Refused::of(&error));
        let refused = answer.as_ref().err().copied();
        if refused.is_none_or(Refused::accepts_the_token) {
            self.session.was_of_use(login);
        }
        answer
    }

    /// Reads a refusal as what it means for this request.
    async fn read(
        &self,
        login: &Login,
        ask: Ask<'_>,
        answer: Result<Zeroizing<String>, Refused>,
    ) -> Result<Zeroizing<String>, CallError> {
        let mut refused = match answer {
            Ok(text) => return Ok(text),
            Err(refused) => refused,
        };
        if let (Ask::Encrypt(_), Refused::PolicyDenied) = (ask, refused) {
            // Without the key, encrypting would make one, and that is what is denied. Decrypting
            // says which of the two it is.
            let tried = self.request(login, Ask::Decrypt(NO_CIPHERTEXT)).await;
            refused = match tried {
                Err(Refused::KeyNotFound) => Refused::KeyNotFound,
                Ok(_) | Err(_) => refused,
            };
        }
        Err(match (ask, refused) {
            (Ask::Decrypt(_) | Ask::Rewrap(_), Refused::Ciphertext) => CallError::DoesNotOpen,
            (Ask::Decrypt(_) | Ask::Rewrap(_), Refused::VersionTooNew) => CallError::UnknownVersion,
            (Ask::Decrypt(wrapped) | Ask::Rewrap(wrapped), Refused::VersionTooOld) => {
                match Version::of_wrapped(wrapped) {
                    Some(version) => CallError::TooOld(self.place.too_old(version)),
                    None => CallError::DoesNotOpen,
                }
            }
            _ => {
                let before = self.health.usable_before();
                CallError::Fault(self.place.fault(refused, ask.told(), before))
            }
        })
    }
}

impl Ask<'_> {
    fn operation(self) -> Operation {
        match self {
            Self::Decrypt(_) => Operation::Decrypt,
            Self::Encrypt(_) => Operation::Encrypt,
            Self::Rewrap(_) => Operation::Rewrap,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Decrypt(_) => "decrypting",
            Self::Encrypt(_) => "encrypting",
            Self::Rewrap(_) => "rewrapping",
        }
    }
}

impl KeyFault {
    /// Whether it may be gone in a moment, and is expensive to find out again for every caller.
    pub(super) fn is_silence(self) -> bool {
        matches!(self, Self::Sealed | Self::Unreachable)
    }
}

/// Has the form of a ciphertext, and is none.
const NO_CIPHERTEXT: &str = "vault:v1:AAAA";
