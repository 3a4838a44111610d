//! Peers as shown to people and to the coordinator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ban::BanReason;
use crate::{
    resilience::LinkCut,
    selection::Standing,
    types::{BlockRoot, PeerId, Transport},
};

/// Where a peer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PeerState {
    /// Connected; its chain is being checked.
    Checking,
    /// May be asked.
    Usable,
    /// Serves another chain.
    OtherChain {
        /// The genesis its block 1 names.
        genesis: BlockRoot,
    },
    /// Does not speak the protocol.
    Unsupported,
    /// Kept out.
    Banned,
    /// Not connected.
    Gone,
}

/// One peer, as shown to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Who.
    pub peer: String,
    /// Where.
    pub address: String,
    /// What its requests go over; none where the address does not say.
    pub transport: Option<Transport>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: PeerState,
    /// Blocks it delivered that passed verification.
    pub blocks: u64,
    /// Blocks it delivered that did not.
    pub failed_blocks: u64,
    /// Bytes it delivered.
    pub bytes: u64,
    /// Requests it failed.
    pub failures: u64,
    /// The weighted parts together. Unit: thousandths.
    pub score: u16,
    /// Whether what it sends is true. Unit: thousandths.
    pub trust: u16,
    /// Whether it answers, and to the end. Unit: thousandths.
    pub reliability: u16,
    /// Whether it is quick. Unit: thousandths.
    pub performance: u16,
    /// Whether it keeps to the protocol. Unit: thousandths.
    pub behaviour: u16,
    /// Mean time to the first block. Unit: seconds; none until measured.
    pub latency_seconds: Option<f64>,
    /// Mean rate of its replies. Unit: bytes a second; none until measured.
    pub bytes_per_second: Option<f64>,
    /// Whether its first lie puts it out, until it has delivered enough.
    pub probation: bool,
    /// While it is kept out: since when and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ban: Option<BanStatus>,
}

/// A ban, as shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanStatus {
    /// Why.
    pub reason: BanReason,
    /// When it ends. Unit: seconds since the Unix epoch.
    pub until_unix_seconds: u64,
    /// How many bans it had that are not forgotten, this one included.
    pub offences: u32,
}

/// All peers at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeerView {
    /// Who may be asked.
    pub usable: BTreeMap<PeerId, Standing>,
    /// How many are still being checked.
    pub checking: usize,
    /// How many are kept out.
    pub banned: usize,
    /// One that serves another chain, and that chain's genesis.
    pub other_chain: Option<(PeerId, BlockRoot)>,
    /// Everybody known.
    pub peers: Vec<PeerStatus>,
    /// Set while our own link is taken for cut.
    pub link_cut: Option<LinkCut>,
}
