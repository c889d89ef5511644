//! What is counted of key providers: every call, by what was asked for and how it ended.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use secretvault_keyring::{UnwrapError, WrapError};
use tokio::time::Instant;

use super::transit::CallError;
use super::{KeyError, KeyFault, ProviderFault};
use crate::metrics::{Label, begin, closed};

/// The metrics of all key providers. Clones count together.
#[derive(Clone, Debug)]
pub struct KeyMetrics {
    calls: Family<CallLabels, Counter>,
    seconds: Family<SecondsLabels, Histogram>,
    opens: Family<OpenLabels, Histogram>,
}

impl Default for KeyMetrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            opens: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl KeyMetrics {
    /// Shows what can be counted of a Transit server, before anything is.
    pub(crate) fn transit_is_used(&self) {
        let calls = Operation::ALL.iter().flat_map(|&operation| {
            let outcomes = CallOutcome::of_transit();
            outcomes.map(move |outcome| CallLabels {
                backend: Backend::Transit,
                operation,
                outcome,
            })
        });
        begin(&self.calls, calls);
        let seconds = Operation::ALL.iter().map(|&operation| SecondsLabels {
            backend: Backend::Transit,
            operation,
        });
        begin(&self.seconds, seconds);
    }

    /// Counts and times one call to a Transit server.
    pub(super) async fn transit<T>(&self, operation: Operation, call: impl Future<Output = T>) -> T
    where
        CallOutcome: for<'a> From<&'a T>,
    {
        let begun = Instant::now();
        let answer = call.await;
        self.ended(
            Backend::Transit,
            operation,
            (&answer).into(),
            begun.elapsed(),
        );
        answer
    }

    /// Counts a call that was not made, because the server was silent a moment ago.
    pub(super) fn not_asked(&self, operation: Operation) {
        let labels = CallLabels {
            backend: Backend::Transit,
            operation,
            outcome: CallOutcome::NotAsked,
        };
        self.calls.get_or_create(&labels).inc();
    }

    /// Counts and times one use of a keyring.
    pub(super) fn local<T>(&self, operation: Operation, usage: impl FnOnce() -> T) -> T
    where
        CallOutcome: for<'a> From<&'a T>,
    {
        let begun = Instant::now();
        let answer = usage();
        self.ended(Backend::Local, operation, (&answer).into(), begun.elapsed());
        answer
    }

    /// Times how long somebody waited for the data key of a vault.
    pub(super) async fn opening<T>(
        &self,
        opening: impl Future<Output = Result<T, KeyError>>,
    ) -> Result<T, KeyError> {
        let begun = Instant::now();
        let opened = opening.await;
        let outcome = match &opened {
            Ok(_) => OpenOutcome::Opened,
            Err(_) => OpenOutcome::Failed,
        };
        let histogram = self.opens.get_or_create(&OpenLabels { outcome });
        histogram.observe(begun.elapsed().as_secs_f64());
        opened
    }

    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        for operation in [Operation::Decrypt, Operation::Encrypt] {
            let calls = CallOutcome::OF_KEYRINGS.map(|outcome| CallLabels {
                backend: Backend::Local,
                operation,
                outcome,
            });
            begin(&self.calls, calls);
            let backend = Backend::Local;
            begin(&self.seconds, [SecondsLabels { backend, operation }]);
        }
        let outcomes = OpenOutcome::ALL.iter();
        begin(&self.opens, outcomes.map(|&outcome| OpenLabels { outcome }));
        let calls = "Calls to key providers, by what was asked for and how it ended";
        registry.register("key_provider_calls", calls, self.calls.clone());
        let seconds = "Time that a call to a key provider took";
        let histogram = self.seconds.clone();
        registry.register_with_unit("key_provider_call", seconds, Unit::Seconds, histogram);
        let opens = "Time until a vault's data key was open: from memory, or by a call";
        registry.register_with_unit("open", opens, Unit::Seconds, self.opens.clone());
    }

    fn ended(&self, backend: Backend, operation: Operation, outcome: CallOutcome, took: Duration) {
        let call = CallLabels {
            backend,
            operation,
            outcome,
        };
        self.calls.get_or_create(&call).inc();
        let seconds = SecondsLabels { backend, operation };
        let histogram = self.seconds.get_or_create(&seconds);
        histogram.observe(took.as_secs_f64());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    backend: Backend,
    operation: Operation,
    outcome: CallOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecondsLabels {
    backend: Backend,
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpenLabels {
    outcome: OpenOutcome,
}

/// What holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Backend {
    /// A keyring, in this process.
    Local,
    /// A Transit server.
    Transit,
}

/// What a key provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Operation {
    /// To unwrap a data key, or a probe.
    Decrypt,
    /// To wrap one.
    Encrypt,
    /// To take us in; or, of a token that we were given, to say for how long it is good.
    Login,
    /// To go on taking us in.
    Renew,
    /// To wrap the same data key under its newest version.
    Rewrap,
}

closed!(Operation: Decrypt, Encrypt, Login, Renew, Rewrap);

/// How a call ended: well, or with a fault, which has the name that it has as a condition's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CallOutcome {
    /// The wrapped key is not this vault's, or not one of that key.
    DoesNotOpen,
    /// The provider, or what the vault has, is at fault.
    Fault(KeyFault),
    /// The operating system gave no random bytes.
    NoRandomness,
    /// The server was silent a moment ago: all get that fault at once, until it is tried again.
    NotAsked,
    /// It was done.
    Ok,
    /// The provider does not have the key.
    UnknownKey,
}

impl CallOutcome {
    /// Of what happens in this process.
    const OF_KEYRINGS: [Self; 4] = [
        Self::DoesNotOpen,
        Self::NoRandomness,
        Self::Ok,
        Self::UnknownKey,
    ];

    /// Of what a server does.
    fn of_transit() -> impl Iterator<Item = Self> {
        let faults = KeyFault::ALL.into_iter().map(Self::Fault);
        let others = [
            Self::DoesNotOpen,
            Self::NotAsked,
            Self::Ok,
            Self::UnknownKey,
        ];
        faults.chain(others)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::DoesNotOpen => "DoesNotOpen",
            Self::Fault(fault) => fault.as_str(),
            Self::NoRandomness => "NoRandomness",
            Self::NotAsked => "NotAsked",
            Self::Ok => "Ok",
            Self::UnknownKey => "UnknownKey",
        }
    }
}

impl EncodeLabelValue for CallOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl<T> From<&Result<T, CallError>> for CallOutcome {
    fn from(answer: &Result<T, CallError>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(CallError::DoesNotOpen) => Self::DoesNotOpen,
            Err(CallError::Fault(fault) | CallError::TooOld(fault)) => Self::Fault(fault.reason),
            Err(CallError::UnknownVersion) => Self::UnknownKey,
        }
    }
}

impl<T> From<&Result<T, ProviderFault>> for CallOutcome {
    fn from(answer: &Result<T, ProviderFault>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(fault) => Self::Fault(fault.reason),
        }
    }
}

impl<T> From<&Result<T, UnwrapError>> for CallOutcome {
    fn from(answer: &Result<T, UnwrapError>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(UnwrapError::DoesNotOpen) => Self::DoesNotOpen,
            Err(UnwrapError::UnknownKey(_)) => Self::UnknownKey,
        }
    }
}

impl<T> From<&Result<T, WrapError>> for CallOutcome {
    fn from(answer: &Result<T, WrapError>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(_) => Self::NoRandomness,
        }
    }
}

/// Whether somebody got the data key that they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum OpenOutcome {
    Failed,
    Opened,
}

closed!(OpenOutcome: Failed, Opened);

/// A keyring takes microseconds, a server milliseconds; beyond three seconds nobody waits for it.
const SECONDS: [f64; 13] = [
    0.0001, 0.00025, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
];

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use secretvault_crds::DataKey;
    use secretvault_envelope::{Dek, DekId, VaultBinding};
    use secretvault_keyring::Keyring;

    use super::super::{Provider, Source};
    use super::*;

    fn provider(metrics: &KeyMetrics) -> Provider {
        let keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let source = Source::File("/keyring".into());
        Provider::local("default", keyring, source).counted_by(metrics)
    }

    fn count(metrics: &KeyMetrics, operation: Operation, outcome: CallOutcome) -> u64 {
        let labels = CallLabels {
            backend: Backend::Local,
            operation,
            outcome,
        };
        metrics.calls.get_or_create(&labels).get()
    }

    async fn wrapped(provider: &Provider, vault: &VaultBinding<'_>) -> DataKey {
        let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
        let wrapped = provider.wrap(vault, id, &dek).await.unwrap();
        DataKey {
            id: id.to_string(),
            key_id: wrapped.key_id,
            wrapped: wrapped.wrapped,
            ..DataKey::default()
        }
    }

    #[tokio::test]
    async fn each_use_of_a_keyring_is_counted_by_how_it_ended() {
        let metrics = KeyMetrics::default();
        let (one, other) = (provider(&metrics), provider(&metrics));
        let vault = VaultBinding::new(one.scope(), "shop", "app");
        let data_key = wrapped(&one, &vault).await;
        assert!(one.unwrap(&vault, &data_key).await.is_ok());
        let elsewhere = VaultBinding::new(one.scope(), "shop", "other");
        assert!(one.unwrap(&elsewhere, &data_key).await.is_err());
        assert!(other.unwrap(&vault, &data_key).await.is_err());
        assert!(one.rewrap(&vault, &data_key).await.is_ok());
        assert_eq!(count(&metrics, Operation::Encrypt, CallOutcome::Ok), 2);
        assert_eq!(count(&metrics, Operation::Decrypt, CallOutcome::Ok), 2);
        let of = |outcome| count(&metrics, Operation::Decrypt, outcome);
        assert_eq!(of(CallOutcome::DoesNotOpen), 1);
        assert_eq!(of(CallOutcome::UnknownKey), 1);
    }

    #[test]
    fn a_fault_is_counted_under_the_name_that_it_has_as_a_reason() {
        for reason in KeyFault::ALL {
            let answer: Result<(), _> = Err(ProviderFault::new(reason, "why"));
            assert_eq!(CallOutcome::from(&answer).as_str(), reason.as_str());
        }
        let too_old = ProviderFault::new(KeyFault::VersionTooOld, "why");
        let answer: Result<(), _> = Err(CallError::TooOld(too_old));
        assert_eq!(CallOutcome::from(&answer).as_str(), "VersionTooOld");
    }
}
