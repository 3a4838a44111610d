//! An honest client: it downloads as today's node does, 1,024 blocks a request, one request after
//! the other, and begins anew at the end of what the node had from the start.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alys_sync::{
    adapters::memory::MemoryChain,
    ports::{NetworkEvent, PeerNetwork},
    types::{Height, HeightRange, Multiaddr, PeerId},
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::roles::RoleArgs;
use crate::processes::{
    conversation::{Conversation, say},
    loopback::{Ended, Loopback},
    prepared::Prepared,
};

/// Asked for at once. Unit: blocks. Source: today's node.
const REQUEST_BLOCKS: u64 = 1024;

/// The pause before it dials or asks again after a failure. Unit: time. Too low: it is no honest
/// client. Too high: a moment's failure costs it its share.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a client got since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Got {
    /// Requests that were sent.
    pub(super) requests: u64,
    /// Blocks that arrived.
    pub(super) blocks: u64,
    /// What they are together. Unit: bytes.
    pub(super) bytes: u64,
    /// Requests that failed, or were answered with fewer blocks than there are.
    pub(super) failed: u64,
    /// How often its connection was lost or refused.
    pub(super) lost: u64,
}

/// Counts that many tasks add to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) blocks: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) lost: AtomicU64,
}

impl Counts {
    pub(super) fn so_far(&self) -> Got {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Got {
            requests: read(&self.requests),
            blocks: read(&self.blocks),
            bytes: read(&self.bytes),
            failed: read(&self.failed),
            lost: read(&self.lost),
        }
    }

    pub(super) fn arrived(&self, bytes: usize) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn one(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) async fn play(args: &RoleArgs) -> Result<(), Box<dyn Error>> {
    let node = args.peer.clone().ok_or("a client needs --peer")?;
    let source = MemoryChain::new(&Prepared::open(&args.dir).genesis()?);
    let network = Loopback::start(Arc::new(source)).await?;
    let counts = Arc::<Counts>::default();
    let (tell, connected) = watch::channel(None);
    let pace = Pace { begun: Instant::now(), blocks_per_second: args.blocks_per_second };
    let download = download(
        Arc::clone(network.network()),
        connected.clone(),
        Arc::clone(&counts),
        (args.held, pace),
    );
    let kept = keep_connected(network, node, tell, Arc::clone(&counts));
    let talk = async {
        let mut conversation = first_connection(connected).await?;
        while conversation.asked().await?.is_some() {
            say(&counts.so_far())?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::select! {
        ended = kept => Ok(ended?),
        () = download => Ok(()),
        talked = talk => talked,
    }
}

/// Ready is who is connected.
pub(super) async fn first_connection(
    mut connected: watch::Receiver<Option<PeerId>>,
) -> Result<Conversation, Box<dyn Error>> {
    let peer = connected.wait_for(Option::is_some).await?.map(|peer| peer.to_string());
    Ok(Conversation::begin(&peer)?)
}

/// Dials `node`, and again when the connection is lost or refused.
pub(super) async fn keep_connected(
    mut network: Loopback,
    node: Multiaddr,
    connected: watch::Sender<Option<PeerId>>,
    counts: Arc<Counts>,
) -> Result<(), Ended> {
    network.network().dial(vec![node.clone()]);
    loop {
        match network.event().await? {
            NetworkEvent::Connected { peer, .. } => {
                connected.send_replace(Some(peer));
            }
            NetworkEvent::Disconnected { .. } | NetworkEvent::DialFailed { .. } => {
                connected.send_replace(None);
                Counts::one(&counts.lost);
                sleep(AGAIN_AFTER).await;
                network.network().dial(vec![node.clone()]);
            }
            NetworkEvent::Listening { .. }
            | NetworkEvent::Moved { .. }
            | NetworkEvent::Discovered { .. }
            | NetworkEvent::Expired { .. }
            | NetworkEvent::Misused { .. }
            | NetworkEvent::Stopped { .. } => {}
        }
    }
}

/// How fast a client takes blocks.
#[derive(Debug, Clone, Copy)]
struct Pace {
    begun: Instant,
    /// 0: as fast as they come.
    blocks_per_second: u64,
}

impl Pace {
    /// Waits until the client has done its work on `blocks` blocks.
    async fn worked(self, blocks: u64) {
        if self.blocks_per_second > 0 {
            let seconds = blocks as f64 / self.blocks_per_second as f64;
            sleep_until(self.begun + Duration::from_secs_f64(seconds)).await;
        }
    }
}

async fn download(
    network: Arc<dyn PeerNetwork>,
    mut connected: watch::Receiver<Option<PeerId>>,
    counts: Arc<Counts>,
    (held, pace): (u64, Pace),
) {
    let mut next = 1;
    loop {
        let Ok(Some(node)) = connected.wait_for(Option::is_some).await.map(|peer| *peer) else {
            return;
        };
        let count = REQUEST_BLOCKS.min(held.saturating_sub(next).saturating_add(1));
        let Some(range) = HeightRange::new(Height::new(next), count) else { return };
        Counts::one(&counts.requests);
        let mut got = 0;
        if let Ok(mut reply) = network.request_range(node, range).await {
            while let Some(Ok(block)) = reply.next().await {
                got += 1;
                counts.arrived(block.len());
                pace.worked(counts.blocks.load(Ordering::Relaxed)).await;
            }
        }
        if got < count {
            Counts::one(&counts.failed);
            sleep(AGAIN_AFTER).await;
        }
        next = if next + got > held { 1 } else { next + got };
    }
}
