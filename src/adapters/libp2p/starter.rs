//! Starts networks, one after the other, on the same port with the same key.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use libp2p::{PeerId, identity::Keypair};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Libp2pOptions,
    behaviour::build_swarm,
    driver::{Driver, GOODBYE_MAX, Responder},
    network::Libp2pNetwork,
    serving::BlockServer,
    sockets::{ListenAddress, choose_port, wants_free_port},
};
use crate::{
    ports::{BlockSource, NetworkError, NetworkEvents, NetworkStarter, PeerNetwork},
    types::Multiaddr,
};

/// How long a start waits for the network before it to end. That takes a second at most once its
/// last owner has dropped it. If too low: a restart fails on a busy machine. If too high: an owner
/// that never drops it blocks the restart without a word.
const PREVIOUS_END_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(GOODBYE_MAX.as_millis() < PREVIOUS_END_MAX.as_millis());

/// How long a start waits for the sockets of the network before it. A QUIC socket outlives its
/// connections by three probe timeouts, each three round trips or more, as long as they were
/// measured last. If too low: a restart fails on bad links. If too high: a port taken by another
/// program is reported late.
const PREVIOUS_SOCKETS_MAX: Duration = Duration::from_secs(20);

/// Pause between two looks at a socket that is still taken.
const SOCKET_POLL: Duration = Duration::from_millis(20);

/// Ports tried when a free one was asked for. Somebody may hold the number on the other transport,
/// or take it between our two looks. If too low: a start fails by bad luck. If too high: one that
/// cannot work fails late.
const PORT_TRIES_MAX: u32 = 8;

/// Starts libp2p networks.
pub struct Libp2pStarter {
    shared: Arc<Shared>,
}

/// How requests for blocks are answered, and what is told of the chain otherwise.
type Answers = (Arc<dyn Responder>, Option<Arc<dyn BlockSource>>);

struct Shared {
    options: Libp2pOptions,
    key: Keypair,
    earlier: Mutex<Earlier>,
}

/// What is left of the networks before.
#[derive(Default)]
struct Earlier {
    /// Where the first one listened.
    addresses: Option<Vec<ListenAddress>>,
    task: Option<JoinHandle<()>>,
}

impl Libp2pStarter {
    /// A starter that listens nowhere yet.
    pub fn new(options: Libp2pOptions, key: Keypair) -> Self {
        let earlier = Mutex::new(Earlier::default());
        Self { shared: Arc::new(Shared { options, key, earlier }) }
    }

    /// The peer id of every network it starts.
    pub fn peer_id(&self) -> PeerId {
        self.shared.key.public().to_peer_id()
    }

    /// Starts a network that answers requests for blocks as `responder` does, and others out of
    /// `source`, if there is one.
    pub(super) fn start_with(
        &self,
        responder: Arc<dyn Responder>,
        source: Option<Arc<dyn BlockSource>>,
        events: Arc<dyn NetworkEvents>,
    ) -> impl Future<Output = Result<Arc<dyn PeerNetwork>, NetworkError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.start((responder, source), events).await }
    }
}

impl NetworkStarter for Libp2pStarter {
    fn start(
        &self,
        source: Arc<dyn BlockSource>,
        events: Arc<dyn NetworkEvents>,
    ) -> BoxFuture<'static, Result<Arc<dyn PeerNetwork>, NetworkError>> {
        let serving = &self.shared.options.serving;
        let server = BlockServer::new(Arc::clone(&source), serving, Arc::clone(&events));
        Box::pin(self.start_with(Arc::new(server), Some(source), events))
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let mut earlier = shared.earlier.lock().await;
            if let Some(task) = &mut earlier.task {
                // How it ended was reported by itself; that it ended is what counts.
                let _ = task.await;
                earlier.task = None;
            }
        })
    }
}

impl Shared {
    async fn start(
        &self,
        answers: Answers,
        events: Arc<dyn NetworkEvents>,
    ) -> Result<Arc<dyn PeerNetwork>, NetworkError> {
        let mut earlier = self.earlier.lock().await;
        earlier.wait_for_end().await?;
        let wanted = self.wanted_addresses()?;
        let mut tries_left = PORT_TRIES_MAX;
        loop {
            tries_left -= 1;
            let started = match &earlier.addresses {
                Some(addresses) => {
                    wait_until_free(addresses, PREVIOUS_SOCKETS_MAX).await?;
                    self.listen(addresses.clone(), &answers, &events).await
                }
                None => self.listen_first(&wanted, &answers, &events).await,
            };
            let again = wants_free_port(&wanted) && earlier.addresses.is_none() && tries_left > 0;
            match started {
                Ok((addresses, driver, network)) => {
                    earlier.addresses = Some(addresses);
                    earlier.task = Some(tokio::spawn(driver.run()));
                    return Ok(Arc::new(network));
                }
                Err(error) if again => tracing::debug!(%error, "trying another port"),
                Err(error) => return Err(error),
            }
        }
    }

    fn wanted_addresses(&self) -> Result<Vec<ListenAddress>, NetworkError> {
        self.options.listen.iter().map(ListenAddress::parse).collect()
    }

    async fn listen_first(
        &self,
        wanted: &[ListenAddress],
        answers: &Answers,
        events: &Arc<dyn NetworkEvents>,
    ) -> Result<(Vec<ListenAddress>, Driver, Libp2pNetwork), NetworkError> {
        let addresses = choose_port(wanted)?;
        for address in &addresses {
            address.check_free()?;
        }
        self.listen(addresses, answers, events).await
    }

    async fn listen(
        &self,
        addresses: Vec<ListenAddress>,
        answers: &Answers,
        events: &Arc<dyn NetworkEvents>,
    ) -> Result<(Vec<ListenAddress>, Driver, Libp2pNetwork), NetworkError> {
        let swarm = build_swarm(&self.key, &self.options)?;
        let (network, inbox) = Libp2pNetwork::channel(Arc::clone(events));
        let mut driver = Driver::new(swarm, Arc::clone(events), answers.clone(), inbox);
        let multiaddrs: Vec<Multiaddr> = addresses.iter().map(|a| a.to_multiaddr()).collect();
        driver.listen(&multiaddrs).await?;
        Ok((addresses, driver, network))
    }
}

impl Earlier {
    async fn wait_for_end(&mut self) -> Result<(), NetworkError> {
        let Some(task) = &mut self.task else { return Ok(()) };
        match timeout(PREVIOUS_END_MAX, task).await {
            // How it ended was reported by itself; that it ended is what counts.
            Ok(Ok(()) | Err(_)) => {
                self.task = None;
                Ok(())
            }
            Err(_) => Err(NetworkError::PreviousStillRunning { waited: PREVIOUS_END_MAX }),
        }
    }
}

async fn wait_until_free(
    addresses: &[ListenAddress],
    patience: Duration,
) -> Result<(), NetworkError> {
    let deadline = Instant::now() + patience;
    for address in addresses {
        while let Err(error) = address.check_free() {
            if Instant::now() >= deadline {
                return Err(error);
            }
            sleep(SOCKET_POLL).await;
        }
    }
    Ok(())
}
