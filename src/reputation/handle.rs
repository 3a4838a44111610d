//! The stable address of reputation.

use std::time::Duration;

use supervisors::{CallError, ChildHandle, SendError};

use super::{BanStatus, Evidence, ReputationMsg};
use crate::types::{Multiaddr, PeerId};

/// How long a question may take. Unit: time. Reputation never waits, so this is far more than it
/// needs. Too low: false alarms on a busy machine. Too high: a hung one is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Sends to reputation, whichever incarnation lives.
#[derive(Clone)]
pub struct ReputationHandle {
    child: ChildHandle<ReputationMsg>,
}

impl ReputationHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<ReputationMsg>) -> Self {
        Self { child }
    }

    /// An observation. One that comes while reputation restarts is lost, and with it nothing but
    /// one data point.
    pub fn evidence(&self, peer: PeerId, evidence: Evidence) {
        let _ = self.child.cast(ReputationMsg::Observed { peer, evidence });
    }

    /// A peer connected, or is reached at another address now.
    ///
    /// # Errors
    /// [`SendError`]; reputation asks who is connected when it is back.
    pub fn connected(&self, peer: PeerId, address: Multiaddr) -> Result<(), SendError> {
        self.child.cast(ReputationMsg::Connected { peer, address })
    }

    /// The last connection to a peer is gone.
    ///
    /// # Errors
    /// [`SendError`]; reputation asks who is connected when it is back.
    pub fn disconnected(&self, peer: PeerId) -> Result<(), SendError> {
        self.child.cast(ReputationMsg::Disconnected { peer })
    }

    /// Exactly these are connected.
    ///
    /// # Errors
    /// [`SendError`]; reputation asks who is connected when it is back.
    pub fn connected_peers(&self, peers: Vec<(PeerId, Multiaddr)>) -> Result<(), SendError> {
        self.child.cast(ReputationMsg::ConnectedPeers { peers })
    }

    /// Keeps `peer` out for `length`, or as long as a liar. It need not be known.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ban(
        &self,
        peer: PeerId,
        length: Option<Duration>,
    ) -> Result<Option<BanStatus>, CallError> {
        self.child.call(|reply| ReputationMsg::Ban { peer, length, reply }, ANSWER_DEADLINE).await
    }

    /// Ends the ban of `peer`; whether there was one.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lift_ban(&self, peer: PeerId) -> Result<bool, CallError> {
        self.child.call(|reply| ReputationMsg::Lift { peer, reply }, ANSWER_DEADLINE).await
    }

    /// The scheduler was started.
    ///
    /// # Errors
    /// [`SendError`]; reputation announces itself when it is back.
    pub fn scheduler_started(&self) -> Result<(), SendError> {
        self.child.cast(ReputationMsg::SchedulerStarted)
    }

    /// The coordinator was started.
    ///
    /// # Errors
    /// [`SendError`]; reputation announces itself when it is back.
    pub fn coordinator_started(&self) -> Result<(), SendError> {
        self.child.cast(ReputationMsg::CoordinatorStarted)
    }
}
