//! The actor: owns one incarnation of the network for as long as it lives.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{NetworkMsg, NetworkOrders, dialer::Dialer, handle::EventsTo};
use crate::{
    config::PeerSettings,
    ports::{BlockSource, Clock, Direction, NetworkEvent, NetworkStarter, PeerNetwork},
    reputation::{Evidence, ReputationHandle},
    resilience::NetworkSlot,
    types::{Multiaddr, PeerId},
};

/// How often dials that are due begin. Unit: time. Too low: idle work. Too high: dials are late.
const TICK: Duration = Duration::from_millis(250);

/// What the owner of the network needs.
#[derive(Clone)]
pub struct NetworkArgs {
    /// Makes networks.
    pub starter: Arc<dyn NetworkStarter>,
    /// What is served.
    pub source: Arc<dyn BlockSource>,
    /// Where callers find the network.
    pub slot: NetworkSlot,
    /// Whom to dial.
    pub peers: PeerSettings,
    /// Decides what is left to chance.
    pub seed: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who is told of connections.
    pub reputation: ReputationHandle,
    /// What it was told last.
    pub orders: NetworkOrders,
}

/// The network ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the network ended: {0}")]
pub struct NetworkEnded(pub String);

/// The actor.
pub struct PeerNetworkActor;

/// The network at work. Dropping it ends the network.
pub struct State {
    args: NetworkArgs,
    network: Arc<dyn PeerNetwork>,
    dialer: Dialer,
    connected: BTreeMap<PeerId, Multiaddr>,
    listening: Vec<Multiaddr>,
}

impl Actor for PeerNetworkActor {
    type Msg = NetworkMsg;
    type State = State;
    type Arguments = NetworkArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<NetworkMsg>,
        args: NetworkArgs,
    ) -> Result<State, ActorProcessingErr> {
        let events = Arc::new(EventsTo(myself.clone()));
        let network = args.starter.start(Arc::clone(&args.source), events).await?;
        let mut dialer = Dialer::new(&args.peers, args.seed);
        args.peers.bootnodes.iter().cloned().for_each(|address| dialer.add(address));
        let (now, refused) = (args.clock.now(), args.orders.refused());
        dialer.refuse(now, refused.clone());
        if args.orders.link_cut() {
            dialer.set_link_cut(now, true);
        }
        network.refuse(refused);
        args.slot.publish(&network);
        myself.send_interval(TICK, || NetworkMsg::Tick);
        let (connected, listening) = (BTreeMap::new(), Vec::new());
        Ok(State { args, network, dialer, connected, listening })
    }

    async fn post_start(
        &self,
        _: ActorRef<NetworkMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        tell_all(state);
        dial(state);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<NetworkMsg>,
        message: NetworkMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NetworkMsg::Event(event) => on_event(state, event)?,
            NetworkMsg::Dial { address } => {
                state.dialer.add(address);
                dial(state);
            }
            NetworkMsg::Disconnect { peer } => state.network.disconnect(peer),
            NetworkMsg::Refuse { peers } => {
                state.args.orders.refuse(peers.clone());
                state.dialer.refuse(state.args.clock.now(), peers.clone());
                state.network.refuse(peers);
                dial(state);
            }
            NetworkMsg::LinkCut => set_link_cut(state, true),
            NetworkMsg::LinkBack => set_link_cut(state, false),
            NetworkMsg::ReputationStarted => tell_all(state),
            NetworkMsg::ReadListening { reply } => {
                // Who no longer waits for the answer needs none.
                let _ = reply.send(state.listening.clone());
            }
            NetworkMsg::Tick => dial(state),
            NetworkMsg::Vital(vital) => vital.obey().await?,
        }
        Ok(())
    }
}

fn on_event(state: &mut State, event: NetworkEvent) -> Result<(), NetworkEnded> {
    match event {
        NetworkEvent::Listening { address } => {
            tracing::info!(%address, "listening");
            state.listening.push(address);
        }
        NetworkEvent::Connected { peer, address, direction } => {
            tracing::debug!(%peer, %address, ?direction, "connected");
            if direction == Direction::Outbound {
                state.dialer.connected(&address, peer);
            }
            // Another connection to a connected peer changes nothing unless requests move to it.
            if !state.connected.contains_key(&peer) {
                is_at(state, peer, address);
            }
        }
        NetworkEvent::Moved { peer, address } => {
            tracing::info!(%peer, %address, "another transport is in use");
            is_at(state, peer, address);
        }
        NetworkEvent::Disconnected { peer, reason } => {
            tracing::debug!(%peer, ?reason, "disconnected");
            state.connected.remove(&peer);
            state.dialer.disconnected(state.args.clock.now(), peer);
            let _ = state.args.reputation.disconnected(peer);
        }
        NetworkEvent::DialFailed { addresses, refused, reason } => {
            tracing::debug!(?addresses, reason, "dial failed");
            state.dialer.failed(state.args.clock.now(), &addresses, refused);
        }
        NetworkEvent::Discovered { address } => {
            tracing::debug!(%address, "found on the local network");
            // Dialled with the next tick, and not many at once: nobody is to drive us.
            state.dialer.discovered(address);
        }
        NetworkEvent::Expired { address } => state.dialer.expired(&address),
        NetworkEvent::Misused { peer, misuse, times } => {
            state.args.reputation.evidence(peer, Evidence::Misused { misuse, times });
        }
        NetworkEvent::Stopped { reason } => return Err(NetworkEnded(reason)),
    }
    Ok(())
}

fn is_at(state: &mut State, peer: PeerId, address: Multiaddr) {
    state.connected.insert(peer, address.clone());
    // Reputation that is down asks who is connected when it is back.
    let _ = state.args.reputation.connected(peer, address);
}

fn set_link_cut(state: &mut State, cut: bool) {
    if !state.args.orders.set_link_cut(cut) {
        return;
    }
    state.dialer.set_link_cut(state.args.clock.now(), cut);
    if cut {
        // Those of peers that we did not dial, too: what is left of them carries nothing.
        state.connected.keys().for_each(|peer| state.network.disconnect(*peer));
    }
    dial(state);
}

fn tell_all(state: &State) {
    let peers = state.connected.iter().map(|(peer, address)| (*peer, address.clone())).collect();
    // Reputation that is down asks who is connected when it is back.
    let _ = state.args.reputation.connected_peers(peers);
}

fn dial(state: &mut State) {
    let connected = &state.connected;
    let due = state.dialer.due(state.args.clock.now(), |peer| connected.contains_key(peer));
    due.into_iter().for_each(|addresses| state.network.dial(addresses));
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
