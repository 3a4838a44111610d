//! Logs: to standard error, beside a progress bar without tearing it; and traces, where they are
//! collected.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::ParseError,
    fmt::{self, MakeWriter},
};

use crate::telemetry::{BadEndpoint, Endpoint, ExportError, TraceExport, install};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter of logs cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{origin} is {given:?}: give a level (error, warn, info, debug, trace) or filters such as \
     alys_sync=debug,warn"
)]
pub(crate) struct BadFilter {
    origin: &'static str,
    given: String,
    #[source]
    source: ParseError,
}

/// Why nothing is said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    #[error(transparent)]
    Filter(#[from] BadFilter),
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT is of no use")]
    Endpoint(#[from] BadEndpoint),
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// What is said, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log to standard error: a level, or filters such as alys_sync=debug,warn
    ///
    /// Without it RUST_LOG counts, and without that run and serve log at info, the others at warn.
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Send traces to a collector that takes OTLP over gRPC, such as http://127.0.0.1:4317
    ///
    /// Without it OTEL_EXPORTER_OTLP_ENDPOINT counts, and without that nothing is sent.
    #[arg(long, global = true, value_name = "URL")]
    otlp_endpoint: Option<Endpoint>,
}

/// Logs from now on what `args` say, else what `RUST_LOG` says, else `default`; and sends traces if
/// they are wanted. Call it inside a tokio runtime.
///
/// # Errors
/// [`LoggingError`].
pub(crate) fn start(
    args: LogArgs,
    default: &str,
    bars: &MultiProgress,
) -> Result<Option<TraceExport>, LoggingError> {
    let endpoint = Endpoint::chosen(args.otlp_endpoint)?;
    let filter = filter(args.log.as_deref(), default)?;
    let writer = BesideBars(bars.clone());
    let logs = match args.log_format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            fmt::layer().with_writer(writer).with_ansi(colours).boxed()
        }
        LogFormat::Json => fmt::layer().json().with_writer(writer).boxed(),
    };
    Ok(install(logs.with_filter(filter), endpoint.as_ref())?)
}

fn filter(given: Option<&str>, default: &str) -> Result<EnvFilter, BadFilter> {
    let from_environment =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty());
    let (origin, text) = match (given, &from_environment) {
        (Some(text), _) => ("--log", text),
        (None, Some(text)) => (EnvFilter::DEFAULT_ENV, text.as_str()),
        (None, None) => ("the default", default),
    };
    EnvFilter::try_new(text).map_err(|source| BadFilter { origin, given: text.to_owned(), source })
}

/// Standard error, with bars taken away while a line is written.
struct BesideBars(MultiProgress);

impl Write for BesideBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self(self.0.clone())
    }
}
