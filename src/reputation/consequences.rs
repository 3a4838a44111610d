//! What follows from each kind of evidence: the one table. Pure.

use super::{
    evidence::{CleanReply, EvidenceKind},
    score::{Mass, Part},
};

/// The round trip that counts half. Unit: seconds. Source: a server on another continent. Too low:
/// all distant peers look alike. Too high: all near ones do.
const LATENCY_HALF: f64 = 0.2;

/// The rate that counts half. Unit: bytes a second. Source: 8 Mbit/s, a fair home line. Too low:
/// all fast peers look alike. Too high: all slow ones do.
const RATE_HALF: f64 = 1_000_000.0;

/// What follows from one kind of evidence.
pub(super) struct Consequence {
    pub(super) kind: EvidenceKind,
    /// What is added to which parts of the score.
    pub(super) adds: &'static [(Part, Mass)],
    /// Whether our own link at fault looks the same: then it is taken back.
    pub(super) may_be_our_link: bool,
    /// Why so much.
    pub(super) why: &'static str,
}

const fn good(mass: f64) -> Mass {
    Mass { good: mass, bad: 0.0 }
}

const fn bad(mass: f64) -> Mass {
    Mass { good: 0.0, bad: mass }
}

const fn row(
    kind: EvidenceKind,
    adds: &'static [(Part, Mass)],
    may_be_our_link: bool,
    why: &'static str,
) -> Consequence {
    Consequence { kind, adds, may_be_our_link, why }
}

/// All consequences. That the third lie puts a peer out, and behaviour that got too bad, is the
/// book's.
pub(super) const CONSEQUENCES: [Consequence; 15] = [
    row(
        EvidenceKind::Delivered,
        &[(Part::Trust, good(0.5))],
        false,
        "verified blocks are what a peer is there for; they come in pieces, so each counts half",
    ),
    row(
        EvidenceKind::Completed,
        &[(Part::Reliability, good(1.0))],
        false,
        "it sent all that was asked",
    ),
    row(
        EvidenceKind::ClosedEarly,
        &[(Part::Reliability, good(0.25))],
        false,
        "today's nodes close after one block and are honest; they cost more round trips",
    ),
    row(
        EvidenceKind::Empty,
        &[(Part::Reliability, bad(0.5))],
        false,
        "only heights that are proven are asked for, so it is behind or keeps no history",
    ),
    row(
        EvidenceKind::Silent,
        &[(Part::Reliability, bad(2.0))],
        true,
        "a whole deadline was lost, but slow is not lying",
    ),
    row(
        EvidenceKind::Cut,
        &[(Part::Reliability, bad(1.0))],
        true,
        "what came before it is used; connections break without anybody's fault",
    ),
    row(
        EvidenceKind::Refused,
        &[(Part::Reliability, bad(1.0))],
        false,
        "it says so at once and honestly, and is of no use",
    ),
    row(
        EvidenceKind::ProtocolBroken,
        &[(Part::Behaviour, bad(1.0)), (Part::Reliability, bad(1.0))],
        false,
        "no link can break the framing of an encrypted stream, but old code can",
    ),
    row(
        EvidenceKind::Lied,
        &[(Part::Trust, bad(8.0))],
        false,
        "no honest peer can have it; three of them are no fluke and put it out",
    ),
    row(
        EvidenceKind::Useless,
        &[(Part::Reliability, bad(1.0))],
        false,
        "a majority signed it: its sender is stale, forked or has a hole, and no liar",
    ),
    row(
        EvidenceKind::NotLinked,
        &[(Part::Reliability, bad(0.5))],
        false,
        "it or we are on a fork: taken back, or made graver, when the height is imported",
    ),
    row(
        EvidenceKind::Forked,
        &[(Part::Trust, bad(1.0)), (Part::Reliability, bad(2.0))],
        false,
        "the chain went on with another block: it serves a fork, which is no lie",
    ),
    row(
        EvidenceKind::MalformedRequest,
        &[(Part::Behaviour, bad(1.0))],
        false,
        "an encrypted stream garbles nothing: it is broken, or tries us out",
    ),
    row(
        EvidenceKind::TooManyRequests,
        &[(Part::Behaviour, bad(1.0))],
        false,
        "no node that is made for this network has so many open; they cost us, and others wait",
    ),
    row(EvidenceKind::NoFault, &[], false, "our own limits and restarts say nothing of a peer"),
];

/// What follows from `kind`.
pub(super) fn consequence(kind: EvidenceKind) -> &'static Consequence {
    // The table has a row for each kind, which a test holds it to; without one nothing follows.
    const NONE: Consequence = row(EvidenceKind::NoFault, &[], false, "");
    CONSEQUENCES.iter().find(|row| row.kind == kind).unwrap_or(&NONE)
}

/// What the time that a reply took says of a peer's performance: half of it by the round trip, half
/// by the rate. Nothing for an empty reply.
pub(super) fn performance(reply: &CleanReply) -> Option<Mass> {
    let latency = reply.first_after?.as_secs_f64();
    let by_latency = LATENCY_HALF / (LATENCY_HALF + latency);
    let worth =
        rate(reply).map_or(by_latency, |rate| f64::midpoint(by_latency, rate / (rate + RATE_HALF)));
    Some(Mass { good: worth, bad: 1.0 - worth })
}

/// How fast a reply came. Unit: bytes a second. None where too little came to tell.
pub(super) fn rate(reply: &CleanReply) -> Option<f64> {
    let seconds = reply.streamed.as_secs_f64();
    // The first block's bytes came before the clock ran.
    let behind_the_first = reply.blocks.checked_sub(1).filter(|blocks| *blocks > 0)?;
    let bytes = reply.bytes as f64 * behind_the_first as f64 / reply.blocks as f64;
    (seconds > 0.0).then(|| bytes / seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kind_of_evidence_has_one_row_and_a_reason() {
        use EvidenceKind as Kind;
        let kinds = [
            Kind::Delivered,
            Kind::Completed,
            Kind::ClosedEarly,
            Kind::Empty,
            Kind::Silent,
            Kind::Cut,
            Kind::Refused,
            Kind::ProtocolBroken,
            Kind::Lied,
            Kind::Useless,
            Kind::NotLinked,
            Kind::Forked,
            Kind::MalformedRequest,
            Kind::TooManyRequests,
            Kind::NoFault,
        ];
        for kind in kinds {
            let rows = CONSEQUENCES.iter().filter(|row| row.kind == kind);
            assert_eq!(rows.count(), 1, "{kind:?}");
            assert!(!consequence(kind).why.is_empty(), "{kind:?}");
        }
        assert_eq!(kinds.len(), CONSEQUENCES.len());
    }

    #[test]
    fn only_what_a_dead_link_causes_is_taken_back() {
        let taken_back = CONSEQUENCES.iter().filter(|row| row.may_be_our_link);
        let kinds: Vec<_> = taken_back.map(|row| row.kind).collect();
        assert_eq!(kinds, [EvidenceKind::Silent, EvidenceKind::Cut]);
    }

    fn reply(blocks: u64, first_ms: u64, streamed_ms: u64) -> CleanReply {
        CleanReply {
            asked: blocks,
            blocks,
            bytes: blocks * 100_000,
            first_after: (blocks > 0).then_some(Duration::from_millis(first_ms)),
            streamed: Duration::from_millis(streamed_ms),
        }
    }

    #[test]
    fn quicker_is_better_and_both_halves_count() {
        let worth = |reply| performance(&reply).unwrap().good;
        assert!((worth(reply(11, 200, 1_000)) - 0.5).abs() < 1e-9, "both at half");
        assert!((worth(reply(1, 200, 0)) - 0.5).abs() < 1e-9, "one block tells no rate");
        assert!(worth(reply(11, 20, 1_000)) > worth(reply(11, 200, 1_000)));
        assert!(worth(reply(11, 200, 100)) > worth(reply(11, 200, 1_000)));
        assert_eq!(performance(&reply(0, 0, 0)), None);
    }

    #[test]
    fn no_time_at_all_divides_by_nothing() {
        let Mass { good, bad } = performance(&reply(8, 0, 0)).unwrap();
        assert!(good == 1.0 && bad == 0.0, "{good} {bad}");
    }
}
