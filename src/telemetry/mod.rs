//! What the program says of itself while it works: logs, and traces where somebody collects them.
//!
//! The only part that knows OpenTelemetry. Spans are made with `tracing` everywhere; here they
//! leave through OTLP. The logs' level decides nothing about traces: each has its own filter.

mod endpoint;
mod export;

use tracing_subscriber::{
    Layer, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub(crate) use self::{
    endpoint::{BadEndpoint, Endpoint},
    export::{ExportError, TraceExport},
};

/// Logs through `logs` from now on, and sends traces to `endpoint`, if one is given. Call it inside
/// a tokio runtime.
///
/// # Errors
/// [`ExportError`]; nothing is set up then.
pub(crate) fn install<L>(
    logs: L,
    endpoint: Option<&Endpoint>,
) -> Result<Option<TraceExport>, ExportError>
where
    L: Layer<Registry> + Send + Sync,
{
    let export = endpoint.map(TraceExport::start).transpose()?;
    let spans = export.as_ref().map(TraceExport::layer);
    // Only a second call in one process could fail, and there is none.
    let _ = tracing_subscriber::registry().with(logs).with(spans).try_init();
    Ok(export)
}
