//! The roles of the processes, and what they have in common: a core to run on.

use std::{error::Error, fmt, io, path::PathBuf};

use alys_sync::types::Multiaddr;

use super::{abuser, client, node};
use crate::processes::server::{self, ServerArgs};

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProcessRole {
    /// Serves the whole chain to the node.
    Server,
    /// The node that is measured.
    Node,
    /// An honest client of the node.
    Client,
    /// The abuser.
    Abuser,
}

impl ProcessRole {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Node => "node",
            Self::Client => "client",
            Self::Abuser => "abuser",
        }
    }
}

impl fmt::Display for ProcessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an abuser does with replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum AbuserKind {
    /// It gives up replies of all sizes.
    GivesUp,
    /// It gives up small replies only and takes all large ones.
    Takes,
}

impl AbuserKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::GivesUp, Self::Takes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GivesUp => "gives-up",
            Self::Takes => "takes",
        }
    }
}

/// How a process is started.
#[derive(Debug, Clone, clap::Args)]
pub struct RoleArgs {
    /// What it is
    #[arg(value_enum)]
    role: ProcessRole,
    /// Where the files are
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// The core to run on
    #[arg(long)]
    cpu: usize,
    /// Whom to connect to
    #[arg(long)]
    pub(super) peer: Option<Multiaddr>,
    /// The node's copy of the store
    #[arg(long)]
    pub(super) store: Option<PathBuf>,
    /// The last block that the node has from the start
    #[arg(long, default_value_t = 1)]
    pub(super) held: u64,
    /// The most blocks that a client takes in a second; 0 for as many as it gets
    #[arg(long, default_value_t = 0)]
    pub(super) blocks_per_second: u64,
    /// Requests that an abuser sends in a second
    #[arg(long, default_value_t = 1000)]
    pub(super) requests_per_second: u32,
    /// What an abuser does with replies
    #[arg(long, value_enum, default_value_t = AbuserKind::GivesUp)]
    pub(super) abuser: AbuserKind,
}

/// Plays a role until standard input ends.
///
/// # Errors
/// Whatever keeps the process from playing it.
pub fn play(args: &RoleArgs) -> Result<(), Box<dyn Error>> {
    // Before any thread is started: they inherit it.
    pin(args.cpu)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        match args.role {
            ProcessRole::Server => server::play(&args.dir, ServerArgs::default()).await,
            ProcessRole::Node => node::play(args).await,
            ProcessRole::Client => client::play(args).await,
            ProcessRole::Abuser => abuser::play(args).await,
        }
    });
    // A thread that waits for standard input cannot be waited for.
    runtime.shutdown_background();
    played
}

#[cfg(target_os = "linux")]
fn pin(cpu: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

#[cfg(not(target_os = "linux"))]
fn pin(_: usize) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "processes are pinned to cores on Linux only"))
}

/// Two cores that this process may run on; `None` where there are not two or the system does not
/// tell.
#[cfg(target_os = "linux")]
pub(super) fn two_cores() -> Option<[usize; 2]> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    Some([cores.next()?, cores.next()?])
}

#[cfg(not(target_os = "linux"))]
pub(super) fn two_cores() -> Option<[usize; 2]> {
    None
}
