//! Logs: to standard error, beside a progress bar without tearing it.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

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

/// Logs from now on: what `given` says, else what `RUST_LOG` says, else `default`.
///
/// # Errors
/// [`BadFilter`].
pub(crate) fn start(
    given: Option<&str>,
    default: &str,
    format: LogFormat,
    bars: &MultiProgress,
) -> Result<(), BadFilter> {
    let from_environment =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty());
    let (origin, text) = match (given, &from_environment) {
        (Some(text), _) => ("--log", text),
        (None, Some(text)) => (EnvFilter::DEFAULT_ENV, text.as_str()),
        (None, None) => ("the default", default),
    };
    let filter = EnvFilter::try_new(text).map_err(|source| BadFilter {
        origin,
        given: text.to_owned(),
        source,
    })?;
    let writer = BesideBars(bars.clone());
    let registry = registry().with(filter);
    // Only a second call in one process could fail, and there is none.
    let _ = match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            let layer = fmt::layer().with_writer(writer).with_ansi(colours);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(writer)).try_init(),
    };
    Ok(())
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
