//! The abuser: one identity, two connections. Over one it sends request after request, many each
//! millisecond if it must, and gives up the oldest when it has as many open as its own end allows.
//! Over the other it keeps as many large requests open as it can, and takes all that comes. Thrown
//! out, it dials again.

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
    loopback::Loopback,
    prepared::Prepared,
    roles::{RoleArgs, say},
};

/// Requests that it has open over each connection. Unit: requests. Source: a little below where its
/// own end refuses (30), so that each of them goes out.
const OPEN_MAX: usize = 28;

/// How many blocks it asks for at once, one of these at random.
const COUNTS: [u64; 4] = [1, 16, 128, 1024];

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
    let mut abuse = JoinSet::new();
    let mut any = None;
    for hoards in [false, true] {
        let source = Arc::new(MemoryChain::new(&genesis));
        let network = Loopback::start_as(source, key.clone()).await?;
        let (tell, connected) = watch::channel(None);
        any.get_or_insert(connected.clone());
        let target = Target {
            network: Arc::clone(network.network()),
            connected,
            counts: Arc::clone(&counts),
            held: args.held,
        };
        if hoards {
            abuse.spawn(hoard(target));
        } else {
            abuse.spawn(hammer(target, args.requests_per_second));
        }
        let (node, counts) = (node.clone(), Arc::clone(&counts));
        abuse.spawn(async move {
            // A network of ours that ends leaves nothing to abuse with: the figures show it.
            let _ = keep_connected(network, node, tell, counts).await;
        });
    }
    let connected = any.ok_or("an abuser needs a connection")?;
    let mut conversation = first_connection(connected).await?;
    while conversation.asked().await?.is_some() {
        say(&counts.so_far())?;
    }
    Ok(())
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

async fn hammer(target: Target, requests_per_second: u32) {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut open, mut order) = (JoinSet::new(), VecDeque::new());
    let mut ticks = interval(TICK);
    // A busy machine makes up for the ticks that it missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut due = 0;
    loop {
        ticks.tick().await;
        due += requests_per_second;
        while due >= TICKS_PER_SECOND {
            due -= TICKS_PER_SECOND;
            while open.try_join_next().is_some() {}
            let connected = *target.connected.borrow();
            let Some(node) = connected else { continue };
            let count = COUNTS[rng.random_range(0..COUNTS.len())];
            let Some(range) = target.range(&mut rng, count) else { return };
            if order.len() >= OPEN_MAX
                && let Some(oldest) = order.pop_front()
            {
                AbortHandle::abort(&oldest);
            }
            order.push_back(open.spawn(target.clone().ask(node, range)));
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
