//! Who competes: our policy, and others re-expressed behind the same trait.

mod comet;
mod fixed;
mod formula;
mod geth;
mod lighthouse;
mod open;
mod reth;
mod substrate;
mod zebra;

use alys_sync::{
    scheduler::{Adaptive, DownloadPolicy, Settings},
    selection::{SelectionSettings, Selector},
};

use self::{
    comet::Comet, fixed::Fixed, formula::Formula, geth::Geth, lighthouse::Lighthouse, reth::Reth,
    substrate::Substrate, zebra::Zebra,
};

/// Most requests at one peer that the network takes. Source: nodes of today close a connection at
/// the 33rd stream; our own limit is 24.
const REQUESTS_PER_PEER_MAX: usize = 24;

/// A policy that competes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// Ours, as it is shipped.
    Ours,
    /// 128 blocks times factors of bandwidth, latency and peers.
    Formula,
    /// 256 blocks, whoever is asked.
    Fixed,
    Geth,
    Lighthouse,
    Zebra,
    Comet,
    Reth,
    Substrate,
}

impl Contender {
    /// All of them, ours first.
    pub(crate) const ALL: [Self; 9] = [
        Self::Ours,
        Self::Formula,
        Self::Fixed,
        Self::Geth,
        Self::Lighthouse,
        Self::Zebra,
        Self::Comet,
        Self::Reth,
        Self::Substrate,
    ];

    /// Its name in tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Formula => "formula",
            Self::Fixed => "fixed-256",
            Self::Geth => "geth",
            Self::Lighthouse => "lighthouse",
            Self::Zebra => "zebra",
            Self::Comet => "comet",
            Self::Reth => "reth",
            Self::Substrate => "substrate",
        }
    }

    /// The policy, with what it draws decided by `seed`, and the most requests it may have open at
    /// a peer.
    pub(super) fn policy(self, seed: u64) -> (Box<dyn DownloadPolicy>, usize) {
        let policy: Box<dyn DownloadPolicy> = match self {
            Self::Ours => {
                let settings = Settings::default();
                let most = settings.requests_per_peer_max;
                let selector = Selector::new(SelectionSettings::default(), seed);
                return (Box::new(Adaptive::new(settings, selector)), most);
            }
            Self::Formula => Box::new(Formula::default()),
            Self::Fixed => Box::new(Fixed::default()),
            Self::Geth => Box::new(Geth::default()),
            Self::Lighthouse => Box::new(Lighthouse::new(seed)),
            Self::Zebra => Box::new(Zebra::new(seed)),
            Self::Comet => Box::new(Comet::default()),
            Self::Reth => Box::new(Reth::default()),
            Self::Substrate => Box::new(Substrate::default()),
        };
        (policy, REQUESTS_PER_PEER_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use alys_sync::{
        flow::RequestId,
        scheduler::{
            ArrivedPiece, Assignment, DownloadView, EndedReply, HeightSet, PeerWork, ReplyEnd,
            Unanswered,
        },
        types::{Height, HeightRange, PeerId},
    };

    use super::*;

    fn view<'a>(
        wanted: &'a HeightSet,
        peers: &'a BTreeMap<PeerId, PeerWork>,
        front: Height,
    ) -> DownloadView<'a> {
        DownloadView {
            wanted,
            peers,
            next_import: front,
            front,
            last: Height::new(u64::MAX),
            held: None,
            bytes_per_block: 10_000,
            available: u64::MAX,
        }
    }

    /// A policy asked without a core: what is wanted and open is played by the test.
    pub(super) struct Play<P> {
        pub(super) policy: P,
        pub(super) now: Duration,
        pub(super) wanted: HeightSet,
        pub(super) peers: BTreeMap<PeerId, PeerWork>,
        pub(super) front: Height,
        pub(super) open: BTreeMap<RequestId, Assignment>,
        next: u64,
    }

    impl<P: DownloadPolicy> Play<P> {
        /// `policy` with so many peers and blocks up to `last` wanted.
        pub(super) fn new(mut policy: P, peers: usize, last: u64) -> Self {
            let now = Duration::from_secs(1);
            let ids = super::super::run::peer_ids(peers);
            ids.iter().for_each(|peer| policy.joined(now, *peer));
            let mut wanted = HeightSet::default();
            wanted.insert(HeightRange::new(Height::new(1), last).unwrap());
            let peers = ids.into_iter().map(|peer| (peer, PeerWork::default())).collect();
            let (front, open) = (Height::new(1), BTreeMap::new());
            Self { policy, now, wanted, peers, front, open, next: 0 }
        }

        /// Lets the policy ask until it wants no more; all that is open then.
        pub(super) fn ask(&mut self) -> Vec<(RequestId, Assignment)> {
            loop {
                let view = view(&self.wanted, &self.peers, self.front);
                let Some(assignment) = self.policy.assign(self.now, &view) else { break };
                assert!(self.wanted.remove(assignment.range), "asked for what is not wanted");
                self.send(assignment, false);
            }
            self.open.iter().map(|(request, assignment)| (*request, *assignment)).collect()
        }

        /// Whether and whom the policy asks a second time when `request` has waited for `waited`.
        pub(super) fn hedge(&mut self, request: RequestId, waited: Duration) -> Option<Assignment> {
            let Assignment { peer, range: missing, .. } = self.open[&request];
            let beyond_front = missing.start().blocks_above(self.front);
            let late = Unanswered { request, peer, missing, waited, pace: None, beyond_front };
            let view = view(&self.wanted, &self.peers, self.front);
            self.policy.hedge(self.now, &late, &view)
        }

        /// A request goes out.
        pub(super) fn send(&mut self, assignment: Assignment, hedge: bool) -> RequestId {
            let request = RequestId(self.next);
            self.next += 1;
            let work = self.peers.get_mut(&assignment.peer).unwrap();
            work.requests += 1;
            work.blocks += assignment.range.count();
            self.policy.sent(self.now, request, &assignment, hedge);
            self.open.insert(request, assignment);
            request
        }

        /// All of a reply arrives, `waited` after it was sent.
        pub(super) fn deliver(&mut self, request: RequestId, waited: Duration) {
            let Assignment { peer, range, .. } = self.open[&request];
            let (blocks, bytes) = (range.count(), range.count() * 10_000);
            let piece = ArrivedPiece { request, peer, blocks, bytes, got: blocks, waited };
            self.policy.arrived(self.now, &piece);
            self.end(request, blocks, ReplyEnd::Closed);
        }

        /// A reply ends after `got` blocks; what is missing is wanted again.
        pub(super) fn end(&mut self, request: RequestId, got: u64, end: ReplyEnd) {
            let Assignment { peer, range, .. } = self.open.remove(&request).unwrap();
            let asked = range.count();
            let rest = range.split_at(got).1;
            let next = rest.map_or(range.last(), HeightRange::start);
            rest.into_iter().for_each(|rest| self.wanted.insert(rest));
            let work = self.peers.get_mut(&peer).unwrap();
            work.requests -= 1;
            work.blocks -= asked;
            let reply = EndedReply { request, peer, asked, got, next, end };
            self.policy.ended(self.now, &reply);
        }

        /// How many requests each peer has open.
        pub(super) fn requests(&self) -> Vec<usize> {
            self.peers.values().map(|work| work.requests).collect()
        }
    }

    #[test]
    fn every_policy_has_its_own_name_and_asks_for_the_front_first() {
        let names: std::collections::BTreeSet<_> = Contender::ALL.map(Contender::name).into();
        assert_eq!(names.len(), Contender::ALL.len());
        for contender in Contender::ALL {
            let mut play = Play::new(Boxed(contender.policy(1).0), 8, 4_000);
            let first = play.ask().remove(0).1;
            assert_eq!(first.range.start(), Height::new(1), "{}", contender.name());
        }
    }

    /// A policy behind its trait.
    struct Boxed(Box<dyn DownloadPolicy>);

    impl DownloadPolicy for Boxed {
        fn window_blocks(&self) -> u64 {
            self.0.window_blocks()
        }

        fn joined(&mut self, now: Duration, peer: PeerId) {
            self.0.joined(now, peer);
        }

        fn left(&mut self, peer: PeerId) {
            self.0.left(peer);
        }

        fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
            self.0.assign(now, view)
        }

        fn sent(&mut self, now: Duration, request: RequestId, a: &Assignment, hedge: bool) {
            self.0.sent(now, request, a, hedge);
        }

        fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
            self.0.arrived(now, piece);
        }

        fn ended(&mut self, now: Duration, reply: &EndedReply) {
            self.0.ended(now, reply);
        }
    }
}
