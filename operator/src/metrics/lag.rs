//! How old what this replica knows of the vaults may be.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Unit,
};
use tokio::time::Instant;

use crate::vaults::Vaults;

/// Says at each scrape when the API server last told something. A number that is set when that
/// happens would stand still just when it matters.
#[derive(Debug)]
pub(super) struct WatchLag(pub(super) Vaults);

impl Collector for WatchLag {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(progress) = self.0.last_progress() else {
            return Ok(());
        };
        let lag = Instant::now() - progress;
        let metric = encoder.encode_descriptor(
            "watch_lag",
            "Time since the API server last told this replica something of the vaults",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(lag.as_secs_f64()).encode(metric)
    }
}
