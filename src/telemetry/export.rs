//! Traces on their way out: from spans over a bounded queue to a collector.
//!
//! A collector that is slow, down or gone costs the node nothing: what does not fit the queue is
//! dropped, what cannot be sent is lost, and a warning now and then says so.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData,
        SpanExporter as ExportSpans,
    },
};
use tokio::time::timeout;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::Endpoint;

/// The name under which collectors show the node.
const SERVICE: &str = "alys-sync";

/// Spans that wait to be sent. Unit: spans, about a kilobyte each. Source: a sync makes up to some
/// hundred a second. Too low: spans are dropped between two sendings. Too high: memory.
const QUEUE_MAX: usize = 8_192;

/// Spans sent at once. Unit: spans. Source: the default of OpenTelemetry. Too low: many requests.
/// Too high: requests larger than collectors take (4 MiB).
const BATCH_MAX: usize = 512;

/// How often spans are sent if fewer are there. Unit: time. Too low: many small requests. Too high:
/// what is looked at is late, and what a crash loses is more.
const SEND_EVERY: Duration = Duration::from_secs(2);

/// How long one request to the collector may take. Too low: a slow one gets nothing. Too high: the
/// queue fills meanwhile.
const SEND_WITHIN: Duration = Duration::from_secs(3);

/// How long the end of the program waits for the last spans. Too low: they are lost. Too high: a
/// collector that is gone holds up the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// Between two warnings that spans are lost. Too low: a collector that is down fills the log. Too
/// high: it goes unnoticed.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to {endpoint}")]
pub(crate) struct ExportError {
    endpoint: Endpoint,
    #[source]
    source: ExporterBuildError,
}

/// Traces that are being sent.
pub(crate) struct TraceExport {
    provider: SdkTracerProvider,
}

impl TraceExport {
    /// Sends to `endpoint` from now on. Whether somebody is there shows later. Call it inside a
    /// tokio runtime.
    pub(super) fn start(endpoint: &Endpoint) -> Result<Self, ExportError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .with_timeout(SEND_WITHIN)
            .build()
            .map_err(|source| ExportError { endpoint: endpoint.clone(), source })?;
        let lossy = Lossy { exporter, endpoint: endpoint.clone(), losses: Mutex::default() };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(lossy).with_batch_config(batches).build();
        let resource = Resource::builder().with_service_name(SERVICE).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// What hands spans to it: all of ours, whatever is logged, and nobody else's. The libraries
    /// that send traces make spans too, and would send those of sending.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = Targets::new().with_target("alys_sync", LevelFilter::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    }

    /// Sends what is left, and ends. Gives up after [`FLUSH_WITHIN`].
    pub(crate) async fn finish(self) {
        // It blocks for longer than it is told to where nobody is there, so it is left behind then.
        let flush =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_WITHIN));
        match timeout(FLUSH_WITHIN, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces are lost"),
            Ok(Err(error)) => tracing::warn!(%error, "the last traces are lost"),
            Err(_) => tracing::warn!("the last traces are lost: they cannot be sent in time"),
        }
    }
}

/// An exporter that says now and then what it has lost.
#[derive(Debug)]
struct Lossy {
    exporter: SpanExporter,
    endpoint: Endpoint,
    losses: Mutex<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    /// Spans lost since the last warning.
    spans: usize,
    warned_at: Option<Instant>,
}

impl Losses {
    /// How many to warn of now, after `spans` more were lost.
    fn add(&mut self, now: Instant, spans: usize) -> Option<usize> {
        self.spans += spans;
        if self.warned_at.is_some_and(|at| now.saturating_duration_since(at) < WARN_EVERY) {
            return None;
        }
        self.warned_at = Some(now);
        Some(std::mem::take(&mut self.spans))
    }
}

impl ExportSpans for Lossy {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        if let Err(error) = &sent {
            let lost = {
                let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
                losses.add(Instant::now(), spans)
            };
            if let Some(lost) = lost {
                let endpoint = &self.endpoint;
                tracing::warn!(%endpoint, lost, %error, "the collector takes no traces");
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_once_and_then_together_once_a_minute() {
        let (mut losses, begun) = (Losses::default(), Instant::now());
        assert_eq!(losses.add(begun, 3), Some(3));
        for seconds in 1..60 {
            assert_eq!(losses.add(begun + Duration::from_secs(seconds), 2), None);
        }
        assert_eq!(losses.add(begun + WARN_EVERY, 1), Some(119));
        assert_eq!(losses.add(begun + WARN_EVERY, 1), None);
    }
}
