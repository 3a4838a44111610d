//! Everything an operator or an embedding node may choose, in one type.

use std::time::Duration;

use crate::{
    reputation,
    resilience::{REDIAL, REDIAL_WHILE_CUT, SYNC_AGAIN},
    resources::ResourceSettings,
    scheduler,
    selection::SelectionSettings,
    types::Height,
};

/// The least memory that a process may be limited to. Unit: bytes. Source: a node that syncs
/// nothing takes about a third of it. Too low: a limit under which nothing works is accepted.
const MEMORY_LEAST: u64 = 64 << 20;

/// Choices of one node. `Default` is what `alys-sync run` uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncConfig {
    /// Downloads.
    pub download: scheduler::Settings,
    /// Who is chosen of those who may be asked.
    pub selection: SelectionSettings,
    /// Bytes downloaded and not yet imported, over the whole node. Unit: bytes. Too low: the
    /// window shrinks to a few blocks. Too high: memory. A few large requests to each of eight
    /// peers fit in 64 MiB.
    pub memory_bytes: u64,
    /// Blocks of one import transaction. Unit: blocks, at least 1. Too low: a disk sync for few
    /// blocks. Too high: a crash repeats more, and a bad block is found later.
    pub import_batch_blocks: usize,
    /// Who is dialled, how often and how long.
    pub peers: PeerSettings,
    /// How peers are judged.
    pub reputation: reputation::ReputationSettings,
    /// How the height of the network is found.
    pub discovery: DiscoverySettings,
    /// Checkpoints.
    pub checkpoint: CheckpointSettings,
    /// What sync may use of the machine.
    pub resources: ResourceSettings,
    /// Decides what is left to chance, such as when a lost host is dialled again. Different on
    /// each node, or they all come back at once; the same where a run is to be repeated.
    pub seed: u64,
}

/// Who is dialled, how often and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// Addresses that are dialled until they answer, each with its peer id.
    pub bootnodes: Vec<crate::types::Multiaddr>,
    /// First pause after a failed dial; doubles up to [`PeerSettings::redial_max`].
    pub redial_first: Duration,
    /// Longest pause between dials. Too low: storms at a host that is down. Too high: a host that
    /// came back is missed for long.
    pub redial_max: Duration,
    /// Longest pause between dials while our own link is taken for cut, and how long the outcome of
    /// one is then waited for. Too low: packets into nothing. Too high: the link is back and
    /// nobody notices.
    pub redial_cut_max: Duration,
    /// Peers found on the local network that are kept connected. Unit: peers. Too low: some
    /// neighbours are not used. Too high: whoever is on the local network makes us dial that many.
    pub discovered_max: usize,
}

/// How the height of the network is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// Time between attempts to find usable peers, and between looks for new blocks at the head.
    /// About a fifth of a slot: lower asks needlessly, higher adds to every new block's delay.
    pub interval: Duration,
    /// Attempts before the sync is failed for want of peers.
    pub attempts_max: u32,
    /// First pause of a failed sync before it tries again; doubles with each failure in a row up to
    /// sixteen minutes, and half of it is left to chance. Too low: whoever failed is asked
    /// for nothing. Too high: a passing trouble is felt long after.
    pub retry_first: Duration,
    /// How often a failed sync tries again by itself before it waits for another peer or for a
    /// command; 0 for never. Too low: an operator is needed for what would have passed. Too high:
    /// what cannot pass looks as if it could.
    pub recovery_attempts_max: u32,
    /// How long one probe may take.
    pub probe_deadline: Duration,
    /// Peers asked for the height of the network at once, at least 1. Too low: one stale peer
    /// hides the head for a round. Too high: needless requests.
    pub probe_peers: usize,
}

/// Checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// A checkpoint at every multiple of this height; 0 for none. Unit: blocks.
    pub interval_blocks: u64,
    /// How many are kept, at least 1.
    pub kept_max: usize,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            download: scheduler::Settings::default(),
            selection: SelectionSettings::default(),
            memory_bytes: 64 << 20,
            import_batch_blocks: 512,
            peers: PeerSettings::default(),
            reputation: reputation::ReputationSettings::default(),
            discovery: DiscoverySettings::default(),
            checkpoint: CheckpointSettings::default(),
            resources: ResourceSettings::default(),
            seed: 0,
        }
    }
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            bootnodes: Vec::new(),
            redial_first: REDIAL.first,
            redial_max: REDIAL.longest,
            redial_cut_max: REDIAL_WHILE_CUT.longest,
            discovered_max: 64,
        }
    }
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            attempts_max: 30,
            retry_first: SYNC_AGAIN.first,
            recovery_attempts_max: SYNC_AGAIN.most.unwrap_or(u32::MAX),
            probe_deadline: Duration::from_secs(5),
            probe_peers: 4,
        }
    }
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { interval_blocks: 1_000, kept_max: 10 }
    }
}

/// A value that cannot work, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}: {fix}")]
pub struct ConfigError {
    /// Which setting.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub fix: &'static str,
}

impl SyncConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key, value: String, fix| Err(ConfigError { key, value, fix });
        let download = &self.download;
        if !(1..=1024).contains(&download.batch_size_max) {
            return error(
                "download.batch_size_max",
                download.batch_size_max.to_string(),
                "use 1 to 1024 blocks: servers cap a request there",
            );
        }
        if !(1..=30).contains(&download.requests_per_peer_max) {
            return error(
                "download.requests_per_peer_max",
                download.requests_per_peer_max.to_string(),
                "use 1 to 30: today's nodes close a connection at the 33rd open request",
            );
        }
        if download.window_blocks == 0 || download.window_blocks > Height::new(1 << 32).get() {
            return error(
                "download.window_blocks",
                download.window_blocks.to_string(),
                "use 1 to 2^32 blocks",
            );
        }
        if self.selection.strategy.validate().is_err() {
            return error(
                "selection.strategy",
                self.selection.strategy.to_string(),
                "use learning_rate and target_utilization from 1 to 1000, max_per_region from 1",
            );
        }
        if self.resources.memory_max_bytes.is_some_and(|bytes| bytes < MEMORY_LEAST) {
            return error(
                "resources.memory_max_bytes",
                format!("{:?}", self.resources.memory_max_bytes),
                "use at least 64 MiB, or no limit",
            );
        }
        let weights = self.selection.weights;
        for (key, weights) in [
            ("selection.weights.headers", weights.headers),
            ("selection.weights.blocks", weights.blocks),
            ("selection.weights.backfill", weights.backfill),
        ] {
            if weights.is_empty() {
                return error(key, "0 for all".to_owned(), "give at least one a weight");
            }
        }
        for (key, value) in [
            ("download.block_deadline", download.block_deadline),
            ("discovery.interval", self.discovery.interval),
            ("discovery.retry_first", self.discovery.retry_first),
            ("discovery.probe_deadline", self.discovery.probe_deadline),
            ("peers.redial_first", self.peers.redial_first),
            ("reputation.half_life", self.reputation.half_life),
            ("reputation.ban", self.reputation.ban),
            ("reputation.misuse_ban", self.reputation.misuse_ban),
            ("peers.redial_cut_max", self.peers.redial_cut_max),
        ] {
            if value.is_zero() {
                return error(key, format!("{value:?}"), "use more than zero");
            }
        }
        if !self.reputation.weights.are_whole() {
            return error(
                "reputation.weights",
                format!("{:?}", self.reputation.weights),
                "use thousandths that are 1,000 in all",
            );
        }
        if self.import_batch_blocks == 0 {
            return error("import_batch_blocks", "0".to_owned(), "use at least 1 block");
        }
        if self.discovery.probe_peers == 0 {
            return error("discovery.probe_peers", "0".to_owned(), "use at least 1 peer");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{QualityWeights, SelectionStrategy};

    #[test]
    fn default_is_valid() {
        assert_eq!(SyncConfig::default().validate(), Ok(()));
    }

    #[test]
    fn values_that_cannot_work_are_named_with_the_fix() {
        let mut config = SyncConfig::default();
        config.download.requests_per_peer_max = 31;
        let error = config.validate().unwrap_err();
        assert_eq!(error.key, "download.requests_per_peer_max");
        assert!(error.to_string().contains("31: use 1 to 30"));
        let mut config = SyncConfig::default();
        config.download.block_deadline = Duration::ZERO;
        assert_eq!(config.validate().unwrap_err().key, "download.block_deadline");
        let mut config = SyncConfig::default();
        config.reputation.weights.trust += 1;
        assert_eq!(config.validate().unwrap_err().key, "reputation.weights");
        let mut config = SyncConfig::default();
        config.selection.strategy = SelectionStrategy::Diversified { max_per_region: 0 };
        assert_eq!(config.validate().unwrap_err().key, "selection.strategy");
        let mut config = SyncConfig::default();
        let nothing = QualityWeights { latency: 0, bandwidth: 0, reliability: 0, reputation: 0 };
        config.selection.weights.backfill = nothing;
        assert_eq!(config.validate().unwrap_err().key, "selection.weights.backfill");
    }
}
