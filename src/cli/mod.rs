//! The command line: one file a subcommand.
//!
//! Owns: reading what operators give, showing progress, answers for people and for machines, exit
//! codes. Does not own: any rule of sync; the commands put the library's parts together and watch.
//!
//! Answers go to standard output, everything else to standard error. Failure: each command ends
//! with one line that says what and where, the causes below it, and an exit code that tells bad
//! input from failed work.

mod bench;
mod chain;
mod checkpoint;
mod connections;
mod demo;
mod ending;
mod files;
mod input;
mod logging;
mod node;
mod peak_memory;
mod peers;
mod place;
mod progress;
mod quota;
mod run;
mod serve;
mod status;
mod stop;
mod summary;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::MultiProgress;
use tokio::runtime::{Builder, Runtime};

use self::{
    ending::{Answer, EXIT_CODES, Ending, tell},
    logging::LogArgs,
    stop::Stop,
};

/// Takes an Alys node from any height to the head of its network, and keeps it there.
///
/// See it work: `alys-sync demo` makes a signed chain, serves it from three processes and syncs it.
#[derive(Debug, Parser)]
#[command(name = "alys-sync", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Answer with one JSON object as the last line of standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    logs: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Serve(serve::ServeArgs),
    Status(status::StatusArgs),
    Peers(peers::PeersArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Chain(chain::ChainArgs),
    Bench(bench::BenchArgs),
}

/// What every command is given.
#[derive(Debug, Clone)]
struct Context {
    /// Whether it was asked to end.
    stop: Stop,
    /// Where progress bars are drawn.
    bars: MultiProgress,
}

impl Command {
    /// The log filter where nobody chose one.
    const fn default_log(&self) -> &'static str {
        match self {
            Self::Run(_) | Self::Serve(_) => "info,libp2p=warn",
            Self::Demo(_)
            | Self::Status(_)
            | Self::Peers(_)
            | Self::Checkpoint(_)
            | Self::Chain(_)
            | Self::Bench(_) => "warn",
        }
    }

    async fn perform(self, context: Context) -> Result<Answer, Ending> {
        match self {
            Self::Demo(args) => demo::demo(args, context).await,
            Self::Run(args) => run::run(args, context).await,
            Self::Serve(args) => serve::serve(args, context).await,
            Self::Status(args) => status::status(args).await,
            Self::Peers(args) => peers::peers(args).await,
            Self::Checkpoint(args) => checkpoint::checkpoint(args).await,
            Self::Chain(args) => chain::chain(args, context).await,
            Self::Bench(args) => bench::bench(args, context).await,
        }
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    let json = common.json;
    let outcome = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(perform(common, command));
        // Work on threads that cannot be stopped, such as a disk that hangs, is left behind.
        runtime.shutdown_background();
        outcome
    });
    tell(outcome, json)
}

fn runtime() -> Result<Runtime, Ending> {
    Builder::new_multi_thread().enable_all().build().map_err(Ending::failed)
}

async fn perform(common: Common, command: Command) -> Result<Answer, Ending> {
    let bars = MultiProgress::new();
    let filter = command.default_log();
    let traces = logging::start(common.logs, filter, &bars).map_err(Ending::bad_input)?;
    let stop = Stop::on_signals().map_err(Ending::failed)?;
    let outcome = command.perform(Context { stop, bars }).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    outcome
}

/// Runs `work`, which blocks on disk or on the processor, beside the async workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Ending> + Send + 'static,
) -> Result<T, Ending> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(Ending::failed(cancelled)),
        },
    }
}
