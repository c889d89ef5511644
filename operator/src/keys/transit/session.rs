//! The operator's login at the server: made when it is needed, renewed before it ends, and made
//! anew when it is lost.
//!
//! # Guarantees
//! * One login at a time; whoever waits for it uses it too.
//! * After a failure nobody tries before the backoff ends: all get the failure at once.
//! * A login whose token the server never accepts is a failure, too. Only one that was of use, and
//!   is lost, is made anew at once.
//! * A caller that goes away leaves nothing half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;
use vaultrs::api::AuthInfo;
use zeroize::Zeroizing;

use super::answer::Refused;
use super::attempts::Attempts;
use super::backoff::{random, shortened};
use super::credential::Credentials;
use super::http::{Client, Connector};
use super::place::{Place, Way, source_told};
use crate::keys::metrics::Operation;
use crate::keys::{KeyMetrics, ProviderFault};

/// The login of one provider.
pub(super) struct Session {
    place: Place,
    way: Way,
    connector: Connector,
    credentials: Credentials,
    current: ArcSwapOption<Login>,
    attempts: Mutex<Attempts>,
    /// The number of the newest login whose token the server accepted.
    of_use: AtomicU64,
    metrics: KeyMetrics,
}

/// A token, and the client that sends it. No `Debug`.
pub(super) struct Login {
    pub(super) client: Client,
    /// Tells one login from the next.
    number: u64,
    /// What the server granted at the login itself, not at a renewal.
    granted: Duration,
    renewal: Renewal,
}

/// When to do something about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    /// It has no end, or nothing can be done about that.
    Never,
    /// Then, and before the end.
    Due {
        at: Instant,
        end: Instant,
        renewable: bool,
    },
}

impl Session {
    pub(super) fn new(
        place: Place,
        way: Way,
        connector: Connector,
        credentials: Credentials,
        metrics: KeyMetrics,
    ) -> Self {
        Self {
            place,
            way,
            connector,
            credentials,
            current: ArcSwapOption::empty(),
            attempts: Mutex::default(),
            of_use: AtomicU64::new(0),
            metrics,
        }
    }

    /// The login, made if there is none.
    pub(super) async fn login(&self) -> Result<Arc<Login>, ProviderFault> {
        match self.usable(None) {
            Some(login) => Ok(login),
            None => self.make(None).await,
        }
    }

    /// Another login than this one, which the server does not accept. If it never did, the next one
    /// would not be better: that is a failure, and `fault` says which.
    pub(super) async fn replace(
        &self,
        refused: &Login,
        fault: &ProviderFault,
    ) -> Result<Arc<Login>, ProviderFault> {
        if self.never_was_of_use(refused) {
            self.useless(refused, fault).await;
        }
        self.make(Some(refused.number)).await
    }

    /// Notes that the server accepted the token of this login.
    pub(super) fn was_of_use(&self, login: &Login) {
        self.of_use.fetch_max(login.number, Ordering::Relaxed);
    }

    /// Notes that even a login made just now was of no use, so that not every caller makes one.
    pub(super) async fn useless(&self, login: &Login, fault: &ProviderFault) {
        let mut attempts = self.attempts.lock().await;
        // One failure, of however many callers that had it.
        let current = self.current.load_full();
        if current.is_some_and(|it| it.number == login.number) {
            self.current.store(None);
            attempts.settle(self.of_use.load(Ordering::Relaxed));
            attempts.failed(fault, Instant::now());
        }
    }

    /// Renews the login if that is due.
    pub(super) async fn keep(&self) {
        let Some(login) = self.current.load_full() else {
            return;
        };
        if !login.renewal.is_due(Instant::now()) {
            return;
        }
        let mut attempts = self.attempts.lock().await;
        // Somebody may have made another one meanwhile.
        let current = self.current.load_full();
        if current.is_none_or(|it| it.number != login.number) {
            return;
        }
        let next = match login.renewal {
            Renewal::Due {
                renewable: true, ..
            } => self.renew(&login, &mut attempts).await,
            Renewal::Due { .. } | Renewal::Never => self.log_in(&mut attempts, None).await,
        };
        match next {
            Ok(next) => self.current.store(Some(Arc::new(next))),
            // It may be good until its end: then it is replaced when it is used.
            Err(_) => self.current.store(Some(Arc::new(self.later(&login)))),
        }
    }

    fn usable(&self, refused: Option<u64>) -> Option<Arc<Login>> {
        let login = self.current.load_full()?;
        let good = Some(login.number) != refused && !login.renewal.has_ended(Instant::now());
        good.then_some(login)
    }

    /// Whether another login would be refused like this one. A token that was given may have been
    /// exchanged since.
    fn never_was_of_use(&self, login: &Login) -> bool {
        let given = matches!(self.way, Way::Token(_));
        !given && self.of_use.load(Ordering::Relaxed) < login.number
    }

    async fn make(&self, refused: Option<u64>) -> Result<Arc<Login>, ProviderFault> {
        let mut attempts = self.attempts.lock().await;
        attempts.settle(self.of_use.load(Ordering::Relaxed));
        if let Some(login) = self.usable(refused) {
            return Ok(login);
        }
        if let Some(fault) = attempts.waits(Instant::now()) {
            return Err(fault);
        }
        let old = self.current.load_full();
        let rejected = old.filter(|old| Some(old.number) == refused);
        match self.log_in(&mut attempts, rejected.as_deref()).await {
            Ok(login) => {
                let login = Arc::new(login);
                self.current.store(Some(Arc::clone(&login)));
                Ok(login)
            }
            Err(fault) => {
                self.current.store(None);
                attempts.failed(&fault, Instant::now());
                Err(fault)
            }
        }
    }

    /// Logs in, or takes the token that was given. `rejected` is the login that failed.
    async fn log_in(
        &self,
        attempts: &mut Attempts,
        rejected: Option<&Login>,
    ) -> Result<Login, ProviderFault> {
        let login = self.log_in_uncounted(attempts, rejected);
        self.metrics.transit(Operation::Login, login).await
    }

    async fn log_in_uncounted(
        &self,
        attempts: &mut Attempts,
        rejected: Option<&Login>,
    ) -> Result<Login, ProviderFault> {
        let client = self.connector.client("");
        let answer = match &self.way {
            Way::Kubernetes {
                mount,
                role,
                audience,
            } => {
                let jwt = self.credentials.account_token(audience).await?;
                client.kubernetes(mount, role, &jwt).await
            }
            Way::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = self.credentials.read(secret_id).await?;
                client.app_role(mount, role_id, &secret_id).await
            }
            Way::Token(source) => {
                let token = self.credentials.read(source).await?;
                let known = rejected.is_some_and(|old| old.client.token() == token.as_str());
                if known {
                    return Err(self.place.token_fault(&source_told(source)));
                }
                return self.adopt(attempts, &token, &source_told(source)).await;
            }
        };
        match answer {
            Ok(auth) => self.granted(attempts, auth),
            Err(error) => Err(self.place.login_fault(Refused::of(&error), &self.way)),
        }
    }

    /// Takes a token that was given. Renewing it tells whether it is good, and for how long.
    async fn adopt(
        &self,
        attempts: &mut Attempts,
        token: &Zeroizing<String>,
        source: &str,
    ) -> Result<Login, ProviderFault> {
        let client = self.connector.client(token);
        let renewed = client.renew().await;
        let (granted, renewal) = match renewed.map_err(|error| Refused::of(&error)) {
            Ok(auth) => {
                let granted = Duration::from_secs(auth.lease_duration);
                wipe(auth);
                (granted, Renewal::of(granted, true, Instant::now()))
            }
            Err(Refused::TokenRejected) => return Err(self.place.token_fault(source)),
            // It has no end, or may not be renewed: it is used for as long as it is good.
            Err(Refused::PolicyDenied | Refused::Status(400)) => (Duration::ZERO, Renewal::Never),
            Err(refused) => return Err(self.place.login_fault(refused, &self.way)),
        };
        Ok(Login {
            client,
            number: attempts.number(),
            granted,
            renewal,
        })
    }

    fn granted(&self, attempts: &mut Attempts, auth: AuthInfo) -> Result<Login, ProviderFault> {
        let token = Zeroizing::new(auth.client_token);
        // It becomes a header of a request.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.place.login_fault(Refused::Malformed, &self.way));
        }
        let granted = Duration::from_secs(auth.lease_duration);
        Ok(Login {
            client: self.connector.client(&token),
            number: attempts.number(),
            granted,
            renewal: Renewal::of(granted, auth.renewable, Instant::now()),
        })
    }

    async fn renew(&self, login: &Login, attempts: &mut Attempts) -> Result<Login, ProviderFault> {
        let renewal = async {
            let renewed = login.client.renew().await;
            renewed.map_err(|error| Refused::of(&error))
        };
        let renewed = self.metrics.transit(Operation::Renew, renewal).await;
        let given = matches!(self.way, Way::Token(_));
        match renewed {
            Ok(auth) => {
                let granted = Duration::from_secs(auth.lease_duration);
                wipe(auth);
                // Its longest life ends: another token is better than this one's rest.
                if !given && granted < login.granted / 2 {
                    return self.log_in(attempts, None).await;
                }
                Ok(login.with(Renewal::of(granted, true, Instant::now()), &self.connector))
            }
            Err(Refused::TokenRejected | Refused::PolicyDenied) => {
                self.log_in(attempts, Some(login)).await
            }
            Err(refused) => Err(self.place.login_fault(refused, &self.way)),
        }
    }

    /// The same login, to be renewed a little later.
    fn later(&self, login: &Login) -> Login {
        let renewal = match login.renewal {
            Renewal::Never => Renewal::Never,
            Renewal::Due { end, renewable, .. } => Renewal::Due {
                at: Instant::now() + shortened(AGAIN, random()),
                end,
                renewable,
            },
        };
        login.with(renewal, &self.connector)
    }
}

impl Login {
    fn with(&self, renewal: Renewal, connector: &Connector) -> Self {
        Self {
            client: connector.client(self.client.token()),
            number: self.number,
            granted: self.granted,
            renewal,
        }
    }
}

impl Renewal {
    /// Due at about the middle of what was granted; no end is zero.
    fn of(granted: Duration, renewable: bool, now: Instant) -> Self {
        if granted.is_zero() {
            return Self::Never;
        }
        let granted = granted.min(LONGEST);
        Self::Due {
            at: now + shortened(granted * 2 / 3, random()),
            end: now + granted,
            renewable,
        }
    }

    fn is_due(self, now: Instant) -> bool {
        matches!(self, Self::Due { at, .. } if at <= now)
    }

    fn has_ended(self, now: Instant) -> bool {
        matches!(self, Self::Due { end, .. } if end <= now)
    }
}

/// Drops an answer that holds a token.
fn wipe(auth: AuthInfo) {
    drop(Zeroizing::new(auth.client_token));
}

/// When a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// No clock is asked for more: a server's number may be any.
const LONGEST: Duration = Duration::from_secs(30 * 86400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_well_before_its_end() {
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        for _ in 0..100 {
            let renewal = Renewal::of(hour, true, now);
            assert!(!renewal.is_due(now + hour / 2));
            assert!(renewal.is_due(now + hour * 2 / 3));
            assert!(!renewal.has_ended(now + hour - Duration::from_secs(1)));
            assert!(renewal.has_ended(now + hour));
        }
    }

    #[test]
    fn what_has_no_end_is_never_due() {
        let now = Instant::now();
        let renewal = Renewal::of(Duration::ZERO, true, now);
        assert_eq!(renewal, Renewal::Never);
        assert!(!renewal.is_due(now + LONGEST) && !renewal.has_ended(now + LONGEST));
    }

    #[test]
    fn any_number_that_a_server_says_is_a_time() {
        let now = Instant::now();
        let renewal = Renewal::of(Duration::from_secs(u64::MAX), true, now);
        assert!(renewal.has_ended(now + LONGEST));
    }
}
