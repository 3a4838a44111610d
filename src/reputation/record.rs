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

/// What is stored of a peer, beside who and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
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
    /// Verified blocks that it still has to deliver before it is like others.
    pub(super) probation: u64,
}

/// One peer.
pub(super) struct Record {
    pub(super) address: Multiaddr,
    pub(super) state: PeerState,
    pub(super) figures: Figures,
    /// Until when a peer of another chain is not asked again. Unit: time since the Unix epoch.
    pub(super) elsewhere_until: Duration,
    pub(super) check_failures: u32,
    pub(super) check_at: Duration,
    pub(super) check_open: bool,
    /// Whether what is stored of it is old.
    pub(super) changed: bool,
    before_trouble: VecDeque<(Duration, Score)>,
}

impl Figures {
    /// Those of a stranger.
    fn of_a_stranger(now: Duration) -> Self {
        Self {
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
            probation: 0,
        }
    }

    /// Whether each is one that can be.
    fn are_sound(&self) -> bool {
        let sound = |figure: Option<f64>| figure.is_none_or(|it| it.is_finite() && it >= 0.0);
        self.score.is_sound() && sound(self.latency) && sound(self.rate)
    }
}

impl Record {
    /// A stranger at `address`.
    pub(super) fn new(now: Duration, address: Multiaddr) -> Self {
        Self {
            address,
            state: PeerState::Gone,
            figures: Figures::of_a_stranger(now),
            elsewhere_until: Duration::ZERO,
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
        if self.figures.probation == 0 {
            self.figures.score.add(now, settings.half_life, Part::Trust, PROBATION_TRUST);
        }
        self.figures.probation = blocks;
    }

    /// What others are told of it.
    pub(super) fn standing(&self, weights: ScoreWeights) -> Standing {
        // The cast of a float saturates.
        #[allow(clippy::cast_possible_truncation, reason = "never negative")]
        let bytes_per_second = self.figures.rate.map(|rate| rate as u64);
        Standing {
            score: self.figures.score.overall(weights),
            reliability: self.figures.score.permille(Part::Reliability),
            latency: self
                .figures
                .latency
                .and_then(|latency| Duration::try_from_secs_f64(latency).ok()),
            bytes_per_second,
            ip: ip_of(&self.address),
        }
    }

    /// Whether it is kept out now.
    pub(super) fn is_banned(&self, now: Duration) -> bool {
        self.figures.ban.is_some_and(|ban| now < ban.until)
    }

    /// Takes in how quick a reply was.
    pub(super) fn measure(&mut self, reply: &CleanReply) {
        let mix = |mean: Option<f64>, new: f64| {
            Some(mean.map_or(new, |mean| mean + NEWEST * (new - mean)))
        };
        if let Some(first_after) = reply.first_after {
            self.figures.latency = mix(self.figures.latency, first_after.as_secs_f64());
        }
        if let Some(rate) = rate(reply) {
            self.figures.rate = mix(self.figures.rate, rate);
        }
    }

    /// Notes the score before a penalty that our own link may have caused.
    pub(super) fn trouble(&mut self, now: Duration) {
        let young = |(at, _): &(Duration, Score)| now.saturating_sub(*at) <= BEFORE_TROUBLE_FOR;
        self.before_trouble.retain(young);
        // The oldest are those that matter.
        if self.before_trouble.len() < BEFORE_TROUBLE_MAX {
            self.before_trouble.push_back((now, self.figures.score));
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
            self.figures.score = before;
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
        StoredPeer { peer: peer.to_bytes(), address, figures: self.figures }
    }
}

/// The version of [`StoredPeer`]: one that is encoded differently needs the next.
pub const STORED_PEER_VERSION: u8 = 1;

/// What is stored of one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPeer {
    peer: Vec<u8>,
    address: String,
    figures: Figures,
}

impl StoredPeer {
    /// Who it is; `None` if that cannot be anybody.
    pub fn peer(&self) -> Option<PeerId> {
        PeerId::from_bytes(&self.peer).ok()
    }

    /// The ban that was stored with it.
    pub fn ban(&self) -> Option<Ban> {
        self.figures.ban
    }

    /// The record as it was stored, with the time since then passed; `None` if a field cannot be.
    pub(super) fn restore(
        self,
        now: Duration,
        settings: &ReputationSettings,
    ) -> Option<(PeerId, Record)> {
        let peer = self.peer()?;
        let address = self.address.parse().ok()?;
        if !self.figures.are_sound() {
            return None;
        }
        let mut record =
            Record { figures: self.figures, changed: false, ..Record::new(now, address) };
        // A clock that was wrong must not keep anybody out for ever.
        let latest = now.saturating_add(settings.ban_max.max(settings.ban));
        if let Some(ban) = &mut record.figures.ban {
            ban.until = ban.until.min(latest);
        }
        record.figures.score.decay(now, settings.half_life);
        if record.is_banned(now) {
            record.state = PeerState::Banned;
        }
        Some((peer, record))
    }
}
