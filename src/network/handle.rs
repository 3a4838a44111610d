//! The stable address of the owner of the network.

use std::{collections::BTreeSet, time::Duration};

use supervisors::{CallError, ChildHandle, SendError};

use super::NetworkMsg;
use crate::{
    ports::{NetworkEvent, NetworkEvents},
    types::{Multiaddr, PeerId},
};

/// How long a question may take. Unit: time. Too low: false alarms on a busy machine. Too high: a
/// hung network is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Sends to the owner of the network, whichever incarnation lives.
#[derive(Clone)]
pub struct NetworkHandle {
    child: ChildHandle<NetworkMsg>,
}

impl NetworkHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<NetworkMsg>) -> Self {
        Self { child }
    }

    /// See [`NetworkMsg::Dial`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn dial(&self, address: Multiaddr) -> Result<(), SendError> {
        self.child.cast(NetworkMsg::Dial { address })
    }

    /// See [`NetworkMsg::Disconnect`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped: then there are no connections.
    pub fn disconnect(&self, peer: PeerId) -> Result<(), SendError> {
        self.child.cast(NetworkMsg::Disconnect { peer })
    }

    /// See [`NetworkMsg::Refuse`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped: what was said before still holds.
    pub fn refuse(&self, peers: BTreeSet<PeerId>) -> Result<(), SendError> {
        self.child.cast(NetworkMsg::Refuse { peers })
    }

    /// See [`NetworkMsg::LinkCut`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped: then there are no connections.
    pub fn link_cut(&self) -> Result<(), SendError> {
        self.child.cast(NetworkMsg::LinkCut)
    }

    /// See [`NetworkMsg::LinkBack`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped: it announces itself, and is told again.
    pub fn link_back(&self) -> Result<(), SendError> {
        self.child.cast(NetworkMsg::LinkBack)
    }

    /// Reputation has started.
    ///
    /// # Errors
    /// [`SendError`]; a network that starts later announces itself.
    pub fn reputation_started(&self) -> Result<(), SendError> {
        self.child.cast(NetworkMsg::ReputationStarted)
    }

    /// The addresses peers can dial.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn listening(&self) -> Result<Vec<Multiaddr>, CallError> {
        self.child.call(|reply| NetworkMsg::ReadListening { reply }, ANSWER_DEADLINE).await
    }
}

/// Events go to the incarnation that started the network, and to no later one: they would mix.
pub(super) struct EventsTo(pub(super) ractor::ActorRef<NetworkMsg>);

impl NetworkEvents for EventsTo {
    fn on_event(&self, event: NetworkEvent) {
        // An owner that is gone has let go of the network too.
        let _ = self.0.cast(NetworkMsg::Event(event));
    }
}
