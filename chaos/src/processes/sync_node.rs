//! A node as its own process: it says what it has, what it has acknowledged, what it is short of,
//! and when it is done; it does what it is told, and lives on when its sync has ended.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    hint::black_box,
    io,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alys_sync::{
    adapters::{
        SystemResources,
        libp2p::{Keypair, Libp2pOptions, Libp2pStarter},
        sled::{ChainStore, StoreOptions},
    },
    config::SyncConfig,
    consensus::Verifier,
    coordinator::{Phase, SyncStatus},
    node::{Node, Ports},
    ports::{BlockSource as _, OsEntropy, RayonCompute, SystemClock},
    resilience::BreakerState,
    tree::Child,
    types::{Height, Multiaddr},
};
use supervisors::{Report, Strike, SupervisorExit};
use tracing_subscriber::filter::LevelFilter;

use super::{
    conversation::{Conversation, say},
    loopback::any_port,
    prepared::Prepared,
    said::{Blow, Order, Said, Standing},
};

/// How long the node may take to stop. Unit: time.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// How a node is started.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct NodeArgs {
    /// Whom the node syncs from
    #[arg(long = "peer")]
    peers: Vec<Multiaddr>,
    /// Where the node syncs to; without it, to the head of the network
    #[arg(long)]
    target: Option<u64>,
    /// What all downloads of the node bring at most, in bytes a second
    #[arg(long)]
    bytes_per_second: Option<NonZeroU64>,
    /// What the node leaves free on the disk, in bytes
    #[arg(long)]
    disk_reserve: Option<u64>,
    /// What the process should use of memory, in bytes
    #[arg(long)]
    memory_max: Option<u64>,
    /// What the process holds of memory besides the node, in bytes
    #[arg(long)]
    ballast: Option<usize>,
    /// Where warnings and errors are logged
    #[arg(long)]
    log: Option<PathBuf>,
}

impl NodeArgs {
    fn config(self) -> SyncConfig {
        let mut config = SyncConfig::default();
        config.peers.bootnodes = self.peers;
        config.download.bytes_per_second_max = self.bytes_per_second;
        if let Some(reserve) = self.disk_reserve {
            config.resources.disk_reserve_bytes = reserve;
        }
        if let Some(most) = self.memory_max {
            config.resources.memory_max_bytes = Some(most);
        }
        config
    }
}

/// Plays a node over the store in `store`, with what was prepared in `dir`.
pub(super) async fn play(dir: &Path, store: &Path, args: NodeArgs) -> Result<(), Box<dyn Error>> {
    if let Some(file) = &args.log {
        let file = File::options().create(true).append(true).open(file)?;
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN);
        log.with_ansi(false).with_writer(Mutex::new(file)).init();
    }
    // Written to, so that the system really gives it.
    let ballast = black_box(vec![1_u8; args.ballast.unwrap_or_default()]);
    let prepared = Prepared::open(dir);
    let (spec, genesis) = (prepared.spec()?, prepared.genesis()?);
    let opened = ChainStore::open_recovering(store, &genesis, StoreOptions::default());
    let (chain, recovery) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(say(&Said::Ended { why: in_full(&error) })?),
    };
    let head = chain.head();
    let mut conversation = Conversation::begin(&Said::Opened { height: head.height })?;
    if let Some(recovery) = recovery {
        say(&Said::Recovered { told: recovery.to_string() })?;
    }
    let options = Libp2pOptions { listen: any_port(), ..Libp2pOptions::default() };
    let ports = Ports {
        verifier: Arc::new(Verifier::new(Arc::clone(&spec))),
        spec,
        journal: Arc::new(chain.records()?),
        chain: Arc::new(chain),
        network: Arc::new(Libp2pStarter::new(options, Keypair::generate_ed25519())),
        compute: Arc::new(RayonCompute::new(0)?),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock::start()),
        resources: Arc::new(SystemResources::new(store)),
    };
    let target = args.target.map(Height::new);
    let node = Node::start(args.config(), ports).await?;
    node.start_sync(target).await?;
    let mut teller = Teller { head: head.height, ..Teller::default() };
    tokio::select! {
        told = teller.tell(&node, &mut conversation) => told?,
        exit = node.ended() => {
            say(&Said::Ended { why: reason(exit) })?;
            // It may have been about to answer.
            if teller.is_looking {
                say(&Said::Standing(standing(&node).await))?;
            }
            while let Some(order) = conversation.asked().await? {
                teller.obey(&node, &order).await?;
            }
        }
    }
    node.shutdown(STOPS_WITHIN).await?;
    drop(black_box(ballast));
    Ok(())
}

/// Why the tree has ended.
fn reason(exit: SupervisorExit) -> String {
    match exit {
        SupervisorExit::Escalated(escalation) => in_full(&escalation),
        SupervisorExit::Shutdown | SupervisorExit::Lost => format!("{exit:?}"),
    }
}

fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn standing(node: &Node) -> Standing {
    let (mut failures_in_row, mut breakers_open) = (BTreeMap::new(), Vec::new());
    for breaker in node.breakers() {
        let peer = breaker.peer.to_string();
        if breaker.state != BreakerState::Closed {
            breakers_open.push(peer.clone());
        }
        if breaker.failures_in_row > 0 {
            failures_in_row.insert(peer, breaker.failures_in_row);
        }
    }
    let SyncStatus { current_height: height, peers, .. } = node.status();
    Standing {
        height,
        peers,
        failures_in_row,
        breakers_open,
        breaker_totals: node.breaker_totals(),
        // A scheduler that is down has none to tell of.
        hedges_won: node.window().await.map_or(0, |window| window.hedges_won),
        budget_bytes: node.budget().limit,
        incarnations: Child::ALL.map(|c| (c.id().to_owned(), node.incarnation(c))).into(),
    }
}

/// What was told already.
#[derive(Default)]
struct Teller {
    head: Height,
    downloads: bool,
    link_cut: bool,
    failed: bool,
    synced: bool,
    short_of: Vec<String>,
    /// Whether it was asked how everything stands, and has not answered.
    is_looking: bool,
    /// Who was struck, and when, and is not back.
    struck: BTreeMap<&'static str, Instant>,
}

impl Teller {
    async fn obey(&mut self, node: &Node, order: &str) -> Result<(), Box<dyn Error>> {
        match serde_json::from_str(order)? {
            Order::Look => {
                self.is_looking = true;
                say(&Said::Standing(standing(node).await))?;
                self.is_looking = false;
            }
            Order::Strike { child, blow } => {
                let child = Child::ALL.into_iter().find(|known| known.id() == child);
                let child = child.ok_or("there is no such child")?;
                let struck = match blow {
                    Blow::Kill => node.kill(child),
                    Blow::Panic => node.strike(child, Strike::Panic),
                    Blow::Hang => node.strike(child, Strike::Hang),
                };
                // One that is down was struck by somebody else.
                if struck {
                    self.struck.insert(child.id(), Instant::now());
                }
            }
        }
        Ok(())
    }

    fn tell_who_is_back(&mut self, report: &Report) -> io::Result<()> {
        if let Report::Started { id, .. } = report
            && let Some(struck) = self.struck.remove(id)
        {
            let away_ms = struck.elapsed().as_secs_f64() * 1_000.0;
            say(&Said::Back { child: (*id).to_owned(), away_ms })?;
        }
        Ok(())
    }

    /// Tells what changes, and does what is asked, until the conversation ends.
    async fn tell(
        &mut self,
        node: &Node,
        conversation: &mut Conversation,
    ) -> Result<(), Box<dyn Error>> {
        let (mut status, mut reports) = (node.watch(), node.reports());
        loop {
            let now = status.borrow_and_update().clone();
            self.tell_of(node, now).await?;
            tokio::select! {
                changed = status.changed() => if changed.is_err() {
                    // The tree has ended, which is said elsewhere.
                    std::future::pending().await
                },
                order = conversation.asked() => match order? {
                    Some(order) => self.obey(node, &order).await?,
                    None => return Ok(()),
                },
                Some(report) = reports.next() => self.tell_who_is_back(&report)?,
            }
        }
    }

    async fn tell_of(&mut self, node: &Node, now: SyncStatus) -> Result<(), Box<dyn Error>> {
        let has_target = match now.phase {
            Phase::DownloadingBlocks { .. } | Phase::CatchingUp { .. } | Phase::Synced { .. } => {
                true
            }
            Phase::Idle | Phase::Discovering { .. } | Phase::Failed { .. } | Phase::Paused => false,
        };
        if has_target && !self.downloads {
            self.downloads = true;
            say(&Said::Downloads)?;
        }
        if let Some(link) = now.link_cut.filter(|_| !self.link_cut) {
            self.link_cut = true;
            say(&Said::LinkCut { told: link.to_string() })?;
        }
        if let Some(why) = now.failure.filter(|_| !self.failed) {
            self.failed = true;
            say(&Said::Failed { why })?;
        }
        let short: Vec<_> = now.short_of.iter().map(ToString::to_string).collect();
        if short != self.short_of {
            self.short_of.clone_from(&short);
            say(&Said::Short { of: short })?;
        }
        if now.current_height > self.head {
            self.head = now.current_height;
            say(&Said::Imported { height: self.head })?;
        }
        if matches!(now.phase, Phase::Synced { .. }) && !self.synced {
            self.synced = true;
            let window = node.window().await?;
            let received_bytes = window.used_bytes + window.unused_bytes;
            say(&Said::Synced { received_bytes })?;
        }
        Ok(())
    }
}
