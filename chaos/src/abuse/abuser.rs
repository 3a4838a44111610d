//! The abuser: one identity with several connections. It sends request after request and waits for
//! no reply before the next: when it has as many open as its own end allows, it gives up the
//! oldest. Over one more connection it keeps as many large requests open as it can, and takes all
//! that comes. Thrown out, it dials again.
//!
//! One kind gives up replies of all sizes; large ones then keep the node waiting for somebody who
//! does not read, and the abuser pays for that itself. The other kind is cleverer: what it gives up
//! is small, so that all the node has for it goes into the replies that it takes.

use std::{collections::VecDeque, error::Error, sync::Arc, time::Duration};

use alys_sync::{
    adapters::{libp2p::Keypair, memory::MemoryChain},
    ports::PeerNetwork,
    types::{Height, HeightRange, PeerId},
};
use futures::StreamExt as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet, yield_now},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    client::{AGAIN_AFTER, Counts, first_connection, keep_connected},
    roles::{AbuserKind, RoleArgs},
};
use crate::processes::{conversation::say, loopback::Loopback, prepared::Prepared};

/// Requests that it has open over each connection. Unit: requests. Source: a little below where its
/// own end refuses (30), so that each of them goes out.
const OPEN_MAX: usize = 28;

/// How many blocks it asks for at once, one of these at random.
const ANY_COUNTS: [u64; 4] = [1, 16, 128, 1024];

/// The same for the kind that takes: so few that a whole reply fits into the window of a stream.
const SMALL_COUNTS: [u64; 2] = [1, 16];

/// Connections over which the kind that takes sends its small requests. Source: with the one for
/// large ones, as many as the node grants a peer.
const SMALL_CONNECTIONS: u32 = 3;

/// What it asks for at once over the other connection. Unit: blocks. Source: the most that is
/// served.
const MOST_BLOCKS: u64 = 1024;

/// How often it sends what is due. Unit: time.
const TICK: Duration = Duration::from_millis(1);

/// Ticks in a second.
const TICKS_PER_SECOND: u32 = 1_000;

pub(super) async fn play(args: &RoleArgs) -> Result<(), Box<dyn Error>> {
    let node = args.peer.clone().ok_or("an abuser needs --peer")?;
    let (key, counts) = (Keypair::generate_ed25519(), Arc::<Counts>::default());
    let genesis = Prepared::open(&args.dir).genesis()?;
    let rate = args.requests_per_second;
    let ways = match args.abuser {
        AbuserKind::GivesUp => vec![Way::Hammer { kind: args.abuser, rate }, Way::Hoard],
        AbuserKind::Takes => {
            let hammer = Way::Hammer { kind: args.abuser, rate: rate / SMALL_CONNECTIONS };
            (0..SMALL_CONNECTIONS).map(|_| hammer).chain([Way::Hoard]).collect()
        }
    };
    let mut abuse = JoinSet::new();
    let mut first = None;
    for way in ways {
        let source = Arc::new(MemoryChain::new(&genesis));
        let network = Loopback::start_as(source, key.clone()).await?;
        let (tell, connected) = watch::channel(None);
        first.get_or_insert(connected.clone());
        let target = Target {
            network: Arc::clone(network.network()),
            connected,
            counts: Arc::clone(&counts),
            held: args.held,
        };
        match way {
            Way::Hammer { kind, rate } => abuse.spawn(hammer(target, kind, rate)),
            Way::Hoard => abuse.spawn(hoard(target)),
        };
        let (node, counts) = (node.clone(), Arc::clone(&counts));
        abuse.spawn(async move {
            // A network of ours that ends leaves nothing to abuse with: the figures show it.
            let _ = keep_connected(network, node, tell, counts).await;
        });
    }
    let connected = first.ok_or("an abuser needs a connection")?;
    let mut conversation = first_connection(connected).await?;
    while conversation.asked().await?.is_some() {
        say(&counts.so_far())?;
    }
    Ok(())
}

/// What it does over one connection.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// So many requests a second.
    Hammer { kind: AbuserKind, rate: u32 },
    /// As many large requests open as it can have.
    Hoard,
}

/// Whom it abuses over one connection.
#[derive(Clone)]
struct Target {
    network: Arc<dyn PeerNetwork>,
    connected: watch::Receiver<Option<PeerId>>,
    counts: Arc<Counts>,
    held: u64,
}

impl Target {
    fn range(&self, rng: &mut StdRng, count: u64) -> Option<HeightRange> {
        let count = count.min(self.held);
        let start = rng.random_range(1..=self.held - count + 1);
        HeightRange::new(Height::new(start), count)
    }

    /// Asks, and takes what comes.
    async fn ask(self, node: PeerId, range: HeightRange) {
        Counts::one(&self.counts.requests);
        match self.network.request_range(node, range).await {
            Ok(mut reply) => {
                while let Some(next) = reply.next().await {
                    match next {
                        Ok(block) => self.counts.arrived(block.len()),
                        Err(_) => Counts::one(&self.counts.failed),
                    }
                }
            }
            Err(_) => Counts::one(&self.counts.failed),
        }
    }
}

async fn hammer(target: Target, kind: AbuserKind, requests_per_second: u32) {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut open, mut order) = (JoinSet::new(), VecDeque::new());
    let counts = match kind {
        AbuserKind::GivesUp => &ANY_COUNTS[..],
        AbuserKind::Takes => &SMALL_COUNTS[..],
    };
    let mut ticks = interval(TICK);
    // A busy machine makes up for the ticks that it missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut due: u32 = 0;
    loop {
        ticks.tick().await;
        // What is late by more than a second is let go.
        due = (due + requests_per_second).min(requests_per_second.saturating_mul(TICKS_PER_SECOND));
        while due >= TICKS_PER_SECOND {
            while open.try_join_next().is_some() {}
            let connected = *target.connected.borrow();
            let Some(node) = connected else { break };
            let count = counts[rng.random_range(0..counts.len())];
            let Some(range) = target.range(&mut rng, count) else { return };
            order.push_back(open.spawn(target.clone().ask(node, range)));
            if order.len() > OPEN_MAX
                && let Some(oldest) = order.pop_front()
            {
                AbortHandle::abort(&oldest);
            }
            due -= TICKS_PER_SECOND;
            yield_now().await;
        }
    }
}

async fn hoard(mut target: Target) {
    let mut rng = StdRng::seed_from_u64(2);
    let mut open = JoinSet::new();
    loop {
        let Ok(Some(node)) = target.connected.wait_for(Option::is_some).await.map(|peer| *peer)
        else {
            return;
        };
        while open.len() < OPEN_MAX {
            let Some(range) = target.range(&mut rng, MOST_BLOCKS) else { return };
            open.spawn(target.clone().ask(node, range));
        }
        // Only so often if all of them are refused at once.
        tokio::select! {
            _ = open.join_next() => sleep(TICK).await,
            () = sleep(AGAIN_AFTER) => {}
        }
    }
}
