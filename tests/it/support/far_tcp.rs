//! A way to a server over TCP that takes time: a forwarder that holds every byte back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alys_sync::types::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{DEADLINE, Server};

/// The forwarder. Dropping it, or [`FarTcp::cut`], closes all that goes through it for good.
pub struct FarTcp {
    /// The server behind it, as it is reached through it.
    pub address: Multiaddr,
    open: watch::Receiver<usize>,
    carried: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl FarTcp {
    /// To `server`, so far away that every byte takes `delay` each way.
    pub async fn to(server: &Server, delay: Duration) -> Self {
        let is_port = |part| if let Protocol::Tcp(port) = part { Some(port) } else { None };
        let port = server.address.iter().find_map(is_port).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap();
        let address = Multiaddr::from(own.ip()).with(Protocol::Tcp(own.port()));
        let (count, open) = watch::channel(0);
        let carried = Arc::<AtomicUsize>::default();
        let carrying = Arc::clone(&carried);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let count = Arc::new(count);
            let mut ways = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (count, carried) = (Arc::clone(&count), Arc::clone(&carrying));
                ways.spawn(async move {
                    count.send_modify(|open| *open += 1);
                    forward((near, far), delay, &carried).await;
                    count.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { address: address.with_p2p(server.peer).unwrap(), open, carried, _tasks: tasks }
    }

    /// How many connections go through it.
    pub fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Bytes that went through it, both ways.
    pub fn carried(&self) -> usize {
        self.carried.load(Ordering::SeqCst)
    }

    /// Waits until none does.
    pub async fn until_none_is_open(&mut self) {
        timeout(DEADLINE, self.open.wait_for(|open| *open == 0)).await.unwrap().unwrap();
    }

    /// Ends all connections and takes no more.
    pub fn cut(self) {}
}

async fn forward((near, far): (TcpStream, TcpStream), delay: Duration, carried: &AtomicUsize) {
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
    }
    let ((near_reads, near_writes), (far_reads, far_writes)) =
        (near.into_split(), far.into_split());
    // The end of one direction ends both: nobody half-closes a connection of Yamux.
    tokio::select! {
        () = carry(near_reads, far_writes, delay, carried) => {}
        () = carry(far_reads, near_writes, delay, carried) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    carried: &AtomicUsize,
) {
    let (held, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let take = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match from.read(&mut buffer).await {
                Ok(count) if count > 0 => {
                    let bytes = buffer[..count].to_vec();
                    if held.send((Instant::now() + delay, bytes)).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            }
        }
    };
    let give = async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            carried.fetch_add(bytes.len(), Ordering::SeqCst);
        }
    };
    tokio::join!(take, give);
}
