//! What is known of one peer, and the part of it that is stored. Pure.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    PeerState, ReputationSettings,
    ban::{Ban, Offences},
    consequences::rate,
    evidence::CleanReply,
    score::{Mass, Part, Score, ScoreWeights},
};
use crate::{
    selection::{Standing, ip_of},
    types::{Multiaddr, PeerId},
};

/// Scores kept of a peer from before its troubles. Unit: penalties. Too low: what our own link did
/// is taken back in part. Too high: memory for each peer in trouble.
const BEFORE_TROUBLE_MAX: usize = 32;

/// How long such a score is worth keeping: more than it takes to see that our own link was at
/// fault. Unit: time.
const BEFORE_TROUBLE_FOR: Duration = Duration::from_secs(120);

/// Of a measured time or rate, the part that the newest measurement makes up. Too low: a peer that
/// changed is taken for what it was. Too high: one slow reply hides many quick ones.
const NEWEST: f64 = 0.2;

/// What a peer that starts under probation is taken for: trust of a quarter. Unit: observations.
const PROBATION_TRUST: Mass = Mass { good: 0.0, bad: 2.0 };

/// The longest address that is stored. Unit: bytes. Source: a relayed address with two peer ids
/// and a long host name fits. Too low: it is not shown. Too high: memory that strangers fill.
const ADDRESS_BYTES_MAX: usize = 256;

/// One peer.
pub(super) struct Record {
    pub(super) address: Multiaddr,
    pub(super) state: PeerState,
    pub(super) score: Score,
    pub(super) blocks: u64,
    pub(super) failed_blocks: u64,
    pub(super) bytes: u64,
    pub(super) failures: u64,
    /// Mean time to the first block. Unit: seconds.
    pub(super) latency: Option<f64>,
    /// Mean rate of its replies. Unit: bytes a second.
    pub(super) rate: Option<f64>,
    pub(super) lies: u32,
    pub(super) offences: Offences,
    pub(super) ban: Option<Ban>,
    /// Until when a peer of another chain is not asked again. Unit: time since the Unix epoch.
    pub(super) elsewhere_until: Duration,
    /// Verified blocks that it still has to deliver before it is like others.
    pub(super) probation: u64,
    pub(super) check_failures: u32,
    pub(super) check_at: Duration,
    pub(super) check_open: bool,
    /// Whether what is stored of it is old.
    pub(super) changed: bool,
    before_trouble: VecDeque<(Duration, Score)>,
}

impl Record {
    /// A stranger at `address`.
    pub(super) fn new(now: Duration, address: Multiaddr) -> Self {
        Self {
            address,
            state: PeerState::Gone,
            score: Score::stranger(now),
            blocks: 0,
            failed_blocks: 0,
            bytes: 0,
            failures: 0,
            latency: None,
            rate: None,
            lies: 0,
            offences: Offences::default(),
            ban: None,
            elsewhere_until: Duration::ZERO,
            probation: 0,
            check_failures: 0,
            check_at: now,
            check_open: false,
            changed: true,
            before_trouble: VecDeque::new(),
        }
    }

    /// Puts it under probation until it has delivered `blocks` verified ones.
    pub(super) fn put_on_probation(
        &mut self,
        now: Duration,
        blocks: u64,
        settings: &ReputationSettings,
    ) {
        if self.probation == 0 {
            self.score.add(now, settings.half_life, Part::Trust, PROBATION_TRUST);
        }
        self.probation = blocks;
    }

    /// What others are told of it.
    pub(super) fn standing(&self, weights: ScoreWeights) -> Standing {
        // The cast of a float saturates.
        #[allow(clippy::cast_possible_truncation, reason = "never negative")]
        let bytes_per_second = self.rate.map(|rate| rate as u64);
        Standing {
            score: self.score.overall(weights),
            reliability: self.score.permille(Part::Reliability),
            latency: self.latency.and_then(|latency| Duration::try_from_secs_f64(latency).ok()),
            bytes_per_second,
            ip: ip_of(&self.address),
        }
    }

    /// Whether it is kept out now.
    pub(super) fn is_banned(&self, now: Duration) -> bool {
        self.ban.is_some_and(|ban| now < ban.until)
    }

    /// Takes in how quick a reply was.
    pub(super) fn measure(&mut self, reply: &CleanReply) {
        let mix = |mean: Option<f64>, new: f64| {
            Some(mean.map_or(new, |mean| mean + NEWEST * (new - mean)))
        };
        if let Some(first_after) = reply.first_after {
            self.latency = mix(self.latency, first_after.as_secs_f64());
        }
        if let Some(rate) = rate(reply) {
            self.rate = mix(self.rate, rate);
        }
    }

    /// Notes the score before a penalty that our own link may have caused.
    pub(super) fn trouble(&mut self, now: Duration) {
        let young = |(at, _): &(Duration, Score)| now.saturating_sub(*at) <= BEFORE_TROUBLE_FOR;
        self.before_trouble.retain(young);
        // The oldest are those that matter.
        if self.before_trouble.len() < BEFORE_TROUBLE_MAX {
            self.before_trouble.push_back((now, self.score));
        }
    }

    /// It delivered, or showed a fault of its own: what was before is no matter of our link.
    pub(super) fn end_of_trouble(&mut self) {
        self.before_trouble.clear();
    }

    /// Takes back what our own link did to it since `since`; whether that was anything.
    pub(super) fn take_back(&mut self, since: Duration) -> bool {
        let before = self.before_trouble.iter().find(|(at, _)| *at >= since).map(|(_, was)| *was);
        self.before_trouble.clear();
        self.check_failures = 0;
        if let Some(before) = before {
            self.score = before;
            self.changed = true;
        }
        before.is_some()
    }

    /// What is stored of it.
    pub(super) fn stored(&self, peer: PeerId) -> StoredPeer {
        let mut address = self.address.to_string();
        if address.len() > ADDRESS_BYTES_MAX {
            address = String::new();
        }
        StoredPeer {
            peer: peer.to_bytes(),
            address,
            score: self.score,
            blocks: self.blocks,
            failed_blocks: self.failed_blocks,
            bytes: self.bytes,
            failures: self.failures,
            latency: self.latency,
            rate: self.rate,
            lies: self.lies,
            offences: self.offences,
            ban: self.ban,
            probation: self.probation,
        }
    }
}

/// The version of [`StoredPeer`]: one that is encoded differently needs the next.
pub const STORED_PEER_VERSION: u8 = 1;

/// What is stored of one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPeer {
    peer: Vec<u8>,
    address: String,
    score: Score,
    blocks: u64,
    failed_blocks: u64,
    bytes: u64,
    failures: u64,
    latency: Option<f64>,
    rate: Option<f64>,
    lies: u32,
    offences: Offences,
    ban: Option<Ban>,
    probation: u64,
}

impl StoredPeer {
    /// Who it is; `None` if that cannot be anybody.
    pub fn peer(&self) -> Option<PeerId> {
        PeerId::from_bytes(&self.peer).ok()
    }

    /// The ban that was stored with it.
    pub fn ban(&self) -> Option<Ban> {
        self.ban
    }

    /// The record as it was stored, with the time since then passed; `None` if a field cannot be.
    pub(super) fn restore(
        self,
        now: Duration,
        settings: &ReputationSettings,
    ) -> Option<(PeerId, Record)> {
        let peer = self.peer()?;
        let address = self.address.parse().ok()?;
        let sound = |figure: Option<f64>| figure.is_none_or(|it| it.is_finite() && it >= 0.0);
        if !self.score.is_sound() || !sound(self.latency) || !sound(self.rate) {
            return None;
        }
        // A clock that was wrong must not keep anybody out for ever.
        let latest = now.saturating_add(settings.ban_max.max(settings.ban));
        let ban = self.ban.map(|ban| Ban { until: ban.until.min(latest), ..ban });
        let mut record = Record {
            score: self.score,
            blocks: self.blocks,
            failed_blocks: self.failed_blocks,
            bytes: self.bytes,
            failures: self.failures,
            latency: self.latency,
            rate: self.rate,
            lies: self.lies,
            offences: self.offences,
            ban,
            probation: self.probation,
            changed: false,
            ..Record::new(now, address)
        };
        record.score.decay(now, settings.half_life);
        if record.is_banned(now) {
            record.state = PeerState::Banned;
        }
        Some((peer, record))
    }
}
