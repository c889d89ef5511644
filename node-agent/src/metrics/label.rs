//! Labels whose values are a closed set. The operator has the same few lines: what both need is not
//! worth a crate that both would link.

use std::hash::Hash;

use prometheus_client::metrics::family::{Family, MetricConstructor};

/// A label's value: one of a set that is known when the program is compiled.
pub(super) trait Label: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];
}

/// Says which values a label has: all variants of an enum. One that is left out does not compile.
macro_rules! closed {
    ($label:ident: $($variant:ident),+ $(,)?) => {
        impl Label for $label {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
        const _: fn($label) = |value| match value {
            $($label::$variant => {})+
        };
    };
}

pub(super) use closed;

/// Shows series before anything is counted in them: without, Prometheus would take the first event
/// for a series that always was at one, and no rate would see it.
pub(super) fn begin<S, M, C>(family: &Family<S, M, C>, labels: impl IntoIterator<Item = S>)
where
    S: Clone + Eq + Hash,
    C: MetricConstructor<M>,
{
    for set in labels {
        drop(family.get_or_create(&set));
    }
}
