//! `status`: asks a running node.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use alys_sync::{
    http::{AskError, NodeReport, ask_status},
    resilience::BreakerState,
};
use clap::Args;
use hyper::Uri;

use super::{
    Answer, Ending,
    node::STATUS_ADDRESS,
    progress::{eta, speed},
};

const EXAMPLES: &str = "\
Examples:
  alys-sync status --data-dir node
  alys-sync status --url http://127.0.0.1:9092 --json";

/// Ask a running node where its sync is
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[group(required = true, multiple = false)]
pub(crate) struct StatusArgs {
    /// The data directory of the node
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the node serves its status (its --http)
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
enum StatusFailure {
    #[error("no node runs on {}: it has no {STATUS_ADDRESS}", dir.display())]
    NotRunning { dir: PathBuf },
    #[error("{} cannot be read", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} holds no address", file.display())]
    NoAddress { file: PathBuf },
    #[error("no node runs on {}: the one that wrote its {STATUS_ADDRESS} is gone", dir.display())]
    Gone {
        dir: PathBuf,
        #[source]
        source: AskError,
    },
}

pub(crate) async fn status(args: StatusArgs) -> Result<Answer, Ending> {
    let report = match (args.url, args.data_dir) {
        (Some(url), _) => ask_status(&url).await.map_err(not_told)?,
        (None, dir) => {
            let dir = dir.expect("the command line requires one of the two");
            let url = address_in(&dir).map_err(Ending::failed)?;
            ask_status(&url).await.map_err(|error| not_told_in(&dir, error))?
        }
    };
    let json = serde_json::to_value(&report).map_err(Ending::failed)?;
    Ok(Answer::new(text(&report), json))
}

/// Where the node that runs on `dir` serves its status; none if none runs there.
///
/// # Errors
/// The file that says so cannot be read.
pub(crate) async fn address_if_running(dir: &Path) -> Result<Option<Uri>, Ending> {
    let url = match address_in(dir) {
        Ok(url) => url,
        Err(StatusFailure::NotRunning { .. }) => return Ok(None),
        Err(other) => return Err(Ending::failed(other)),
    };
    // One that was killed leaves the file behind.
    match ask_status(&url).await {
        Err(AskError::Connect { .. }) => Ok(None),
        Ok(_) | Err(_) => Ok(Some(url)),
    }
}

fn address_in(dir: &Path) -> Result<Uri, StatusFailure> {
    let file = dir.join(STATUS_ADDRESS);
    match fs::read_to_string(&file) {
        Ok(address) => format!("http://{}", address.trim())
            .parse()
            .map_err(|_| StatusFailure::NoAddress { file }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StatusFailure::NotRunning { dir: dir.to_owned() })
        }
        Err(source) => Err(StatusFailure::Unreadable { file, source }),
    }
}

/// What it means that a node did not answer.
pub(crate) fn not_told(error: AskError) -> Ending {
    match error {
        AskError::Url { .. } => Ending::bad_input(error),
        AskError::Connect { .. }
        | AskError::Http { .. }
        | AskError::Refused { .. }
        | AskError::TooLong { .. }
        | AskError::Malformed { .. }
        | AskError::TimedOut { .. } => Ending::failed(error),
    }
}

fn not_told_in(dir: &Path, error: AskError) -> Ending {
    match error {
        AskError::Connect { .. } => {
            Ending::failed(StatusFailure::Gone { dir: dir.to_owned(), source: error })
        }
        other @ (AskError::Url { .. }
        | AskError::Http { .. }
        | AskError::Refused { .. }
        | AskError::TooLong { .. }
        | AskError::Malformed { .. }
        | AskError::TimedOut { .. }) => not_told(other),
    }
}

fn text(report: &NodeReport) -> String {
    let sync = &report.sync;
    let mut lines = vec![
        format!("state       {}", sync.phase.name().replace('_', " ")),
        format!("height      {} of {}", sync.current_height, sync.target_height),
        format!("head        {}", sync.head),
        format!("genesis     {}", sync.genesis),
        format!("speed       {} over {:.0} s", speed(sync), sync.rate_window_seconds),
        format!("peers       {} usable of {} known", sync.usable_peers, sync.peers.len()),
        format!(
            "memory      {} of {} bytes, at most {}",
            report.budget.used, report.budget.limit, report.budget.peak
        ),
        format!("restarts    {}", report.restarts),
    ];
    lines.extend(report.breakers.not_closed.iter().map(|breaker| {
        format!(
            "breaker     {} of {} after {} failures, for {:.0} s",
            breaker.state.name(),
            breaker.peer,
            breaker.failures_in_row,
            breaker.open_seconds
        )
    }));
    if let Some(serving) = report.breakers.serving.filter(|state| *state != BreakerState::Closed) {
        lines.push(format!("breaker     {} of the chain store, for peers", serving.name()));
    }
    if let Some(failure) = &sync.failure {
        lines.insert(1, format!("failure     {failure}"));
    }
    if let Some(cut) = &sync.link_cut {
        lines.insert(1, format!("link        {cut}"));
    }
    for shortage in &sync.short_of {
        lines.insert(1, format!("short       {shortage}"));
    }
    if let Some(stall) = &sync.stalled {
        lines.insert(1, format!("stalled     {stall}"));
    }
    if let Some(recovery) = &report.recovery {
        lines.insert(1, format!("recovered   {recovery}"));
    }
    if sync.eta_seconds.is_some() && sync.current_height < sync.target_height {
        lines.push(format!("ETA         {}", eta(sync)));
    }
    lines.extend(report.listening.iter().map(|address| format!("listening   {address}")));
    lines.extend(sync.peers.iter().map(|peer| {
        let over = peer.transport.map(|transport| format!(" over {transport}"));
        format!(
            "peer        {} {} blocks{}, {} failures",
            peer.peer,
            peer.blocks,
            over.unwrap_or_default(),
            peer.failures
        )
    }));
    lines.join("\n")
}
