//! What is known of the server and the key, and when to ask again.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::backoff::{Backoff, random};
use super::text::Version;
use crate::keys::ProviderFault;

/// The health of one provider.
pub(super) struct Health {
    /// The newest version that wraps, as far as it was seen; zero is none.
    version: AtomicU32,
    usable_before: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    fault: Option<ProviderFault>,
    /// Between failed probes.
    probes: Backoff,
    /// After silence, for everybody.
    calls: Backoff,
    probed: Option<Instant>,
    verified: Option<Instant>,
}

impl Health {
    /// The health of a provider that was not asked yet. `usable_before`: in another process.
    pub(super) fn new(unasked: ProviderFault, usable_before: bool) -> Self {
        Self {
            version: AtomicU32::new(0),
            usable_before: AtomicBool::new(usable_before),
            inner: Mutex::new(Inner {
                fault: Some(unasked),
                probes: Backoff::default(),
                calls: Backoff::default(),
                probed: None,
                verified: None,
            }),
        }
    }

    /// Takes over what an older provider of the same key has seen of it.
    pub(super) fn adopt(&self, old: &Self) {
        let version = old.version.load(Ordering::Relaxed);
        self.version.store(version, Ordering::Relaxed);
        if old.usable_before() {
            self.usable_before.store(true, Ordering::Relaxed);
        }
    }

    /// What is wrong.
    pub(super) fn fault(&self) -> Option<ProviderFault> {
        self.lock().fault.clone()
    }

    /// The version that wraps.
    pub(super) fn version(&self) -> Option<Version> {
        NonZeroU32::new(self.version.load(Ordering::Relaxed)).map(Version)
    }

    /// Whether the key once was usable, here or in another process.
    pub(super) fn usable_before(&self) -> bool {
        self.usable_before.load(Ordering::Relaxed)
    }

    /// Notes a version that wrapped. An answer that is late tells an older one than the newest.
    pub(super) fn saw(&self, version: Version) {
        self.version.fetch_max(version.0.get(), Ordering::Relaxed);
        self.usable_before.store(true, Ordering::Relaxed);
    }

    /// Notes the version that a probe met, which began when `before` was the newest. Unless another
    /// was seen meanwhile, an older one counts too: the key was made anew, or restored.
    pub(super) fn met(&self, version: Version, before: Option<Version>) {
        let (now, before) = (version.0.get(), before.map_or(0, |it| it.0.get()));
        let relaxed = Ordering::Relaxed;
        let alone = self.version.compare_exchange(before, now, relaxed, relaxed);
        if alone.is_err() {
            self.version.fetch_max(now, relaxed);
        }
        self.usable_before.store(true, relaxed);
    }

    /// The fault, where the server was silent so short a while ago that nobody should ask.
    pub(super) fn silence(&self) -> Option<ProviderFault> {
        let inner = self.lock();
        let waits = inner.calls.waits(Instant::now());
        inner.fault.clone().filter(|_| waits)
    }

    /// Notes a fault that a request met.
    pub(super) fn failed(&self, name: &str, fault: &ProviderFault) {
        let mut inner = self.lock();
        // Those that were under way together are one failure.
        if fault.reason.is_silence() && !inner.calls.waits(Instant::now()) {
            inner.calls.failed(Instant::now(), random());
        }
        inner.set(name, Some(fault), None);
    }

    /// Notes that the server answered. Whether the fault is gone, the next probe tells.
    pub(super) fn answered(&self) {
        self.lock().calls.succeeded();
    }

    /// Whether to probe now.
    pub(super) fn probe_is_due(&self, at_once: bool) -> bool {
        let (inner, now) = (self.lock(), Instant::now());
        let old = inner.probed.is_none_or(|at| now - at >= PROBE_EVERY);
        at_once || old || (inner.fault.is_some() && !inner.probes.waits(now))
    }

    /// Whether the probe must try every right: after a fault, and now and then.
    pub(super) fn is_doubtful(&self) -> bool {
        let (inner, now) = (self.lock(), Instant::now());
        let old = inner.verified.is_none_or(|at| now - at >= VERIFY_EVERY);
        inner.fault.is_some() || old
    }

    /// Notes what a probe found.
    pub(super) fn probed(&self, name: &str, found: Result<(), ProviderFault>, thorough: bool) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.probed = Some(now);
        match found {
            Ok(()) => {
                if thorough {
                    inner.verified = Some(now);
                }
                inner.probes.succeeded();
                // A fault that came while a short probe was under way stays for the next one.
                if thorough || inner.fault.is_none() {
                    inner.set(name, None, self.version());
                }
            }
            Err(fault) => {
                inner.probes.failed(now, random());
                inner.set(name, Some(&fault), None);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set(&mut self, name: &str, fault: Option<&ProviderFault>, version: Option<Version>) {
        let before = self.fault.as_ref().map(|fault| fault.reason);
        let after = fault.map(|fault| fault.reason);
        self.fault = fault.cloned();
        if before == after {
            return;
        }
        if let Some(reason) = after {
            let reason = reason.as_str();
            warn!(provider = name, reason, "key provider is not usable");
        } else {
            let key = version.map(|version| version.to_string());
            info!(provider = name, key, "key provider is usable");
        }
    }
}

/// How soon another version of the key is seen.
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// How soon a right that was taken away is seen, where nobody uses it.
const VERIFY_EVERY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyFault;

    fn version(number: u32) -> Version {
        Version(NonZeroU32::new(number).unwrap())
    }

    /// The health of a key that has wrapped with that version.
    fn seen(number: u32) -> Health {
        let unasked = ProviderFault::new(KeyFault::Unreachable, "it was not asked yet");
        let health = Health::new(unasked, false);
        health.saw(version(number));
        health
    }

    #[test]
    fn an_answer_that_is_late_does_not_bring_an_older_version_back() {
        let health = seen(1);
        health.saw(version(2));
        health.saw(version(1));
        assert_eq!(health.version(), Some(version(2)));
    }

    #[test]
    fn a_key_that_was_made_anew_begins_with_its_first_version() {
        let health = seen(5);
        health.met(version(1), health.version());
        assert_eq!(health.version(), Some(version(1)));
    }

    #[test]
    fn a_probe_that_is_late_does_not_bring_an_older_version_back_either() {
        let (health, before) = (seen(1), Some(version(1)));
        health.saw(version(2));
        health.met(version(1), before);
        assert_eq!(health.version(), Some(version(2)));
    }
}
