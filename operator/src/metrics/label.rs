//! Labels whose values are a closed set.

use std::hash::Hash;

use prometheus_client::metrics::family::{Family, MetricConstructor};

/// A label's value: one of a set that is known when the program is compiled.
pub(crate) trait Label: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The value as it is in the program: the audit log's word for it too.
    fn name(self) -> &'static str;
}

/// Says which values a label has: all variants of an enum. One that is left out does not compile.
macro_rules! closed {
    ($label:ident: $($variant:ident),+ $(,)?) => {
        impl $crate::metrics::Label for $label {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

pub(crate) use closed;

/// Shows series before anything is counted in them: without, Prometheus would take the first event
/// for a series that always was at one, and no rate would see it.
pub(crate) fn begin<S, M, C>(family: &Family<S, M, C>, labels: impl IntoIterator<Item = S>)
where
    S: Clone + Eq + Hash,
    C: MetricConstructor<M>,
{
    for set in labels {
        drop(family.get_or_create(&set));
    }
}

/// Every pair of two labels' values.
pub(crate) fn pairs<A: Label, B: Label>() -> impl Iterator<Item = (A, B)> {
    let second = |one| B::ALL.iter().map(move |other| (one, *other));
    A::ALL.iter().copied().flat_map(second)
}
