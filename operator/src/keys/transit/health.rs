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
    /// The newest version that was seen; zero is none.
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

    /// Notes the version that wrapped just now.
    pub(super) fn saw(&self, version: Version) {
        self.version.store(version.0.get(), Ordering::Relaxed);
        self.usable_before.store(true, Ordering::Relaxed);
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
