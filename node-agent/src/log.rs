//! Logs: JSON lines with chosen fields, never a request.

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, filter, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

/// Starts logging. `filter` is in the form of `RUST_LOG`.
///
/// # Errors
/// The filter cannot be read, or logging has started already.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr);
    let wanted = EnvFilter::builder().parse(filter)?;
    registry()
        .with(
            lines
                .with_filter(filter::filter_fn(is_harmless))
                .with_filter(wanted),
        )
        .try_init()?;
    Ok(())
}

/// What the libraries below us say in detail holds headers and messages: tokens and keys. Whatever
/// filter somebody sets, it is not written.
fn is_harmless(event: &Metadata<'_>) -> bool {
    event.target().starts_with("secretvault") || *event.level() <= Level::INFO
}
