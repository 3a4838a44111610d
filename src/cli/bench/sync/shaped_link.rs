//! A link of known delay and rate to a server on this machine: a relay of TCP connections.
//!
//! Each way has its own line. What arrives waits in a short queue for the line, leaves at its rate,
//! and is handed on when the delay has passed. The queue is [`QUEUED_FOR`] long; whoever sends more
//! is held up by TCP, so that a reply that nobody wants any more takes little of the link. The
//! sockets of the relay have small buffers for the same reason; that of the server's own process
//! is as the system makes it.
//!
//! Sleeping is coarse, a millisecond or two. The rate does not suffer, as what a line carries is
//! reckoned, not slept for, and the queue has work for it meanwhile. Delays are right on the mean.
//!
//! The round trip of TCP's own handshake is waited for; its slow start and losses are not there.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alys_sync::types::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::pacer::Pacer;

/// Carried as one. Unit: bytes. Source: 6.5 ms of 20 Mbit/s, and the largest frame of the
/// multiplexer in use. Too low: relaying takes the processor from what is measured. Too high:
/// small messages wait behind large ones.
const PARCEL_BYTES: usize = 16 << 10;

/// What waits for the line. Unit: time at the line's rate. Source: several wake-ups of a busy
/// machine. Too low: the line idles while its relay sleeps. Too high: replies that were given up
/// take more of the link than they would on a router with a short queue.
const QUEUED_FOR: Duration = Duration::from_millis(20);

/// On the way at once over a line without a rate. Unit: bytes. Too low: the delay becomes a rate.
/// Too high: memory.
const UNLIMITED_ROOM_BYTES: usize = 4 << 20;

/// The relay's own socket buffers. Unit: bytes. Source: as for [`QUEUED_FOR`], and what the kernel
/// gives for it (twice as much, half of it overhead). Too low: the relay is woken more often. Too
/// high: a queue that nobody asked for.
const SOCKET_BUFFER_BYTES: u32 = 64 << 10;

/// How much sooner than due what has crossed is handed on. Unit: time. Source: by so much sleeping
/// was too long on the mean, as timers tick each millisecond and are rounded up. Other values:
/// delays that are off.
const WAKES_LATE: Duration = Duration::from_millis(1);

/// Connections that wait to be accepted. A node makes one.
const BACKLOG: u32 = 16;

/// What a link is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkShape {
    /// From one end to the other, either way.
    pub(super) delay: Duration,
    /// What it carries either way. Unit: bytes a second. `None`: whatever the machine does.
    pub(super) bytes_per_second: Option<NonZeroU64>,
}

/// One way of a link.
struct Way {
    shape: LinkShape,
    pacer: Mutex<Pacer>,
    carried: AtomicU64,
    late_nanos: AtomicU64,
}

/// A relay to one server. Dropping it cuts the connections.
pub(super) struct ShapedLink {
    address: Multiaddr,
    to_node: Arc<Way>,
    connected_at: Arc<OnceLock<Instant>>,
    relay: JoinHandle<()>,
}

/// On its way.
struct Parcel {
    bytes: Vec<u8>,
    due: Instant,
    _room: OwnedSemaphorePermit,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The relay could not be set up.
    #[error("cannot relay to {server}")]
    Relay {
        server: Multiaddr,
        #[source]
        source: io::Error,
    },
    /// Not TCP on this machine.
    #[error("{server} is no TCP address that can be relayed to")]
    Address { server: Multiaddr },
}

impl Way {
    fn new(shape: LinkShape) -> Self {
        let pacer = Mutex::new(Pacer::new(shape.bytes_per_second));
        Self { shape, pacer, carried: AtomicU64::new(0), late_nanos: AtomicU64::new(0) }
    }

    /// When the last of `bytes` that arrive now has left.
    fn leaves(&self, bytes: usize) -> Instant {
        let mut pacer = self.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        pacer.leaves(Instant::now(), bytes)
    }

    /// How much may be on the way: what the line carries in the delay and the queue.
    fn room_bytes(&self) -> usize {
        let Some(rate) = self.shape.bytes_per_second else { return UNLIMITED_ROOM_BYTES };
        let held_for = self.shape.delay + 2 * QUEUED_FOR;
        let held = u128::from(rate.get()) * held_for.as_nanos() / 1_000_000_000;
        usize::try_from(held).unwrap_or(UNLIMITED_ROOM_BYTES) + 2 * PARCEL_BYTES
    }

    /// Carries all of `from` to `to`.
    async fn carry(
        self: Arc<Self>,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(self.room_bytes()));
        // Bounded by the room.
        let (enter, mut leave) = mpsc::unbounded_channel();
        let way = Arc::clone(&self);
        let take_in = async move {
            loop {
                let mut bytes = Vec::with_capacity(PARCEL_BYTES);
                if (&mut from).take(PARCEL_BYTES as u64).read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
                let places = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let room = Arc::clone(&room).acquire_many_owned(places).await;
                let _room = room.map_err(io::Error::other)?;
                let leaves = way.leaves(bytes.len());
                if enter.send(Parcel { bytes, due: leaves + way.shape.delay, _room }).is_err() {
                    return Ok(());
                }
                sleep_until(leaves.checked_sub(QUEUED_FOR).unwrap_or(leaves)).await;
            }
        };
        let hand_on = async move {
            while let Some(Parcel { bytes, due, _room }) = leave.recv().await {
                sleep_until(due.checked_sub(WAKES_LATE).unwrap_or(due)).await;
                self.late_nanos.fetch_max(nanos(due.elapsed()), Ordering::Relaxed);
                to.write_all(&bytes).await?;
                self.carried.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            to.shutdown().await
        };
        tokio::try_join!(take_in, hand_on).map(|_| ())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl ShapedLink {
    /// A link to the server that listens at `server`.
    pub(super) fn to(server: &Multiaddr, shape: LinkShape) -> Result<Self, LinkError> {
        let port = tcp_port(server).ok_or_else(|| LinkError::Address { server: server.clone() })?;
        let failed = |source| LinkError::Relay { server: server.clone(), source };
        let listener = listen().map_err(failed)?;
        let own_port = listener.local_addr().map_err(failed)?.port();
        let address = with_port(server, own_port);
        let (to_node, to_server) = (Arc::new(Way::new(shape)), Arc::new(Way::new(shape)));
        let ways = (Arc::clone(&to_node), to_server);
        let connected_at = Arc::<OnceLock<Instant>>::default();
        let first = Arc::clone(&connected_at);
        let server = (Ipv4Addr::LOCALHOST, port).into();
        let relay = tokio::spawn(relay(listener, server, ways, first));
        Ok(Self { address, to_node, connected_at, relay })
    }

    /// Where to reach the server over this link.
    pub(super) const fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// When the node first connected.
    pub(super) fn connected_at(&self) -> Option<Instant> {
        self.connected_at.get().copied()
    }

    /// What it has handed to the node so far, all layers above TCP. Unit: bytes.
    pub(super) fn bytes_to_node(&self) -> u64 {
        self.to_node.carried.load(Ordering::Relaxed)
    }

    /// The most that anything was handed to the node later than due.
    pub(super) fn late_max(&self) -> Duration {
        Duration::from_nanos(self.to_node.late_nanos.load(Ordering::Relaxed))
    }
}

impl Drop for ShapedLink {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

fn tcp_port(address: &Multiaddr) -> Option<u16> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) if ip.is_loopback() => Some(port),
        _ => None,
    }
}

fn with_port(address: &Multiaddr, port: u16) -> Multiaddr {
    address.replace(1, |_| Some(Protocol::Tcp(port))).unwrap_or_else(|| address.clone())
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // What it accepts is as it is.
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)
}

async fn relay(
    listener: TcpListener,
    server: SocketAddr,
    ways: (Arc<Way>, Arc<Way>),
    connected_at: Arc<OnceLock<Instant>>,
) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((node, _)) => {
                connected_at.get_or_init(Instant::now);
                let ways = (Arc::clone(&ways.0), Arc::clone(&ways.1));
                connections.spawn(async move {
                    // Either end may cut it at any time: then it has ended.
                    if let Err(error) = connect(node, server, ways).await {
                        tracing::debug!(%server, %error, "a relayed connection was cut");
                    }
                });
            }
            Err(error) => tracing::warn!(%server, %error, "a connection could not be relayed"),
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    node: TcpStream,
    server: SocketAddr,
    (to_node, to_server): (Arc<Way>, Arc<Way>),
) -> io::Result<()> {
    // Over a real link the node would have waited so long for the handshake.
    sleep(2 * to_node.shape.delay).await;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    let server = socket.connect(server).await?;
    node.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_node, into_node) = node.into_split();
    let (from_server, into_server) = server.into_split();
    tokio::try_join!(to_node.carry(from_server, into_node), to_server.carry(from_node, into_server))
        .map(|_| ())
}

#[cfg(test)]
#[path = "shaped_link_tests.rs"]
mod tests;
