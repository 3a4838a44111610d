//! What follows from evidence: scores, what waits for the chain's word, who is out.

use std::time::Duration;

use super::{Action, PeerBook};
use crate::{
    reputation::{
        Evidence,
        ban::BanReason,
        consequences::{consequence, performance},
        evidence::EvidenceKind,
        score::{Mass, Part},
    },
    resilience::LIES_MAX,
    types::{BlockRoot, Height, PeerId},
};

/// [`LIES_MAX`] of a peer under probation.
const LIES_ON_PROBATION_MAX: u32 = 1;
/// Behaviour under which one more misuse of our server puts a peer out. Unit: thousandths. Source:
/// more than four misuses that are not forgotten. Too low: a flood lasts longer. Too high: one bug
/// of an honest node is enough.
const BEHAVIOUR_MIN: u16 = 200;
/// Misuses that one report counts for at most. Too low: a flood lasts longer, as there is one
/// report a second. Too high: one burst is enough to put a peer out.
const MISUSES_COUNTED_MAX: u32 = 4;

impl PeerBook {
    /// Takes in an observation.
    pub(in crate::reputation) fn observe(
        &mut self,
        now: Duration,
        peer: PeerId,
        evidence: &Evidence,
    ) -> Option<Action> {
        let record = self.records.get_mut(&peer)?;
        let kind = evidence.kind();
        match evidence {
            Evidence::Delivered { blocks, failed, bytes } => {
                record.figures.blocks += blocks;
                record.figures.failed_blocks += failed;
                record.figures.bytes += bytes;
                record.figures.probation = record.figures.probation.saturating_sub(*blocks);
            }
            Evidence::Replied(reply) => {
                record.measure(reply);
                if let Some(seen) = performance(reply) {
                    record.figures.score.add(now, self.settings.half_life, Part::Performance, seen);
                }
            }
            Evidence::Failed(_) => {
                record.figures.failures += u64::from(kind != EvidenceKind::NoFault);
            }
            Evidence::NotLinked { block } => self.attempts.remember(peer, *block, kind),
            Evidence::Useless(fault) => {
                if let Some(block) = fault.fault.unlinked() {
                    self.attempts.remember(peer, block, kind);
                }
            }
            Evidence::Lied(_) => {}
            Evidence::Misused { times, .. } => {
                return self.count(now, peer, kind, (*times).min(MISUSES_COUNTED_MAX));
            }
        }
        self.count(now, peer, kind, 1)
    }

    /// Adds what follows from evidence of this kind, so many times over.
    fn count(
        &mut self,
        now: Duration,
        peer: PeerId,
        kind: EvidenceKind,
        times: u32,
    ) -> Option<Action> {
        let record = self.records.get_mut(&peer)?;
        let follows = consequence(kind);
        if kind == EvidenceKind::NoFault {
            // Says nothing either way.
            return None;
        }
        if follows.may_be_our_link {
            record.trouble(now);
        } else if kind != EvidenceKind::Delivered {
            // What is verified now may have come before the trouble.
            record.end_of_trouble();
        }
        for (part, mass) in follows.adds {
            let times = f64::from(times);
            let mass = Mass { good: mass.good * times, bad: mass.bad * times };
            record.figures.score.add(now, self.settings.half_life, *part, mass);
        }
        tracing::trace!(%peer, ?kind, why = follows.why, score = ?record.figures.score, "counted");
        record.changed = true;
        // What was under way when it was banned is not held against it again.
        if record.is_banned(now) {
            return None;
        }
        let out = match kind {
            EvidenceKind::Lied => {
                record.figures.lies += 1;
                let most =
                    if record.figures.probation > 0 { LIES_ON_PROBATION_MAX } else { LIES_MAX };
                (record.figures.lies >= most).then_some(BanReason::Lies)
            }
            EvidenceKind::MalformedRequest | EvidenceKind::TooManyRequests => {
                let behaviour = record.figures.score.permille(Part::Behaviour);
                (behaviour < BEHAVIOUR_MIN).then_some(BanReason::Misuse)
            }
            EvidenceKind::Delivered
            | EvidenceKind::Completed
            | EvidenceKind::ClosedEarly
            | EvidenceKind::Empty
            | EvidenceKind::Silent
            | EvidenceKind::Cut
            | EvidenceKind::Refused
            | EvidenceKind::ProtocolBroken
            | EvidenceKind::Useless
            | EvidenceKind::NotLinked
            | EvidenceKind::Forked
            | EvidenceKind::NoFault => None,
        };
        out.map(|reason| self.ban(now, peer, reason))
    }

    /// The heights that questions are open of.
    pub(in crate::reputation) fn unsettled(&self) -> Vec<Height> {
        self.attempts.heights()
    }

    /// The block at `height` was imported, and this is its root: who sent it for this height when
    /// it did not fit is acquitted, who sent another serves a fork.
    pub(in crate::reputation) fn settle(&mut self, now: Duration, height: Height, root: BlockRoot) {
        let settled = self.attempts.settle(height, root);
        for (peer, kind, times) in settled.acquitted {
            for (part, mass) in consequence(kind).adds {
                if let Some(record) = self.records.get_mut(&peer) {
                    let taken = Mass { good: 0.0, bad: mass.bad * f64::from(times) };
                    record.figures.score.take(now, self.settings.half_life, *part, taken);
                    record.changed = true;
                }
            }
        }
        for peer in settled.convicted {
            // A fork alone puts nobody out.
            let _ = self.count(now, peer, EvidenceKind::Forked, 1);
        }
    }

    /// Our own link was at fault since `since`: takes back what that did to anybody. How many.
    pub(in crate::reputation) fn take_back(&mut self, now: Duration, since: Duration) -> usize {
        let mut count = 0;
        for record in self.records.values_mut() {
            count += usize::from(record.take_back(since));
            record.check_at = record.check_at.min(now);
        }
        count
    }
}
