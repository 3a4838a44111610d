mod bans;
mod connections;
mod evidence;
mod invariants;
mod memory;

use super::{memory::REMEMBERED_MAX, *};
use crate::{
    consensus::BlockFault,
    doubles::peer,
    ports::{Misuse, RequestError},
    reputation::{BanReason, CleanReply, Evidence, ScoreWeights},
    resilience::{CHECK_AGAIN, LIES_MAX, ProbeAnswer, ProvenBlock},
    types::{BlockRef, Height},
    validation::{Fault, ReplyFault},
    wire::block::BlockError,
};

const OURS: BlockRoot = BlockRoot::new([1; 32]);
const THEIRS: BlockRoot = BlockRoot::new([2; 32]);
const BAN: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

fn book() -> PeerBook {
    PeerBook::new(OURS, ReputationSettings { ban: BAN, ..ReputationSettings::default() })
}

fn address() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/1".parse().unwrap()
}

/// A peer id that costs no key: for tests of many.
fn many(number: u64) -> PeerId {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_multihash(libp2p::multihash::Multihash::wrap(0x12, &digest).unwrap()).unwrap()
}

fn block(parent: BlockRoot) -> ProbeAnswer {
    ProbeAnswer::Block(ProvenBlock { height: Height::new(1), root: BlockRoot::ZERO, parent })
}

fn lie() -> ReplyFault {
    ReplyFault::Block(BlockFault::NoMajority { signers: 1, majority: 4 })
}

fn no_lie() -> ReplyFault {
    ReplyFault::OtherHeight { found: Height::new(9) }
}

fn lied() -> Evidence {
    Evidence::Lied(Fault { height: Height::new(1), fault: lie() })
}

fn useless() -> Evidence {
    Evidence::Useless(Fault { height: Height::new(1), fault: no_lie() })
}

fn not_linked(root: BlockRoot) -> Evidence {
    Evidence::NotLinked { block: BlockRef { height: Height::new(9), root } }
}

impl PeerBook {
    fn state(&self, peer: PeerId) -> PeerState {
        self.records[&peer].state.clone()
    }

    fn score(&self, peer: PeerId) -> u16 {
        self.records[&peer].figures.score.overall(ScoreWeights::default())
    }

    /// Connects `peer` at `now` and answers its check.
    fn checked_as(&mut self, now: Duration, peer: PeerId, answer: ProbeAnswer) -> Option<Action> {
        assert_eq!(self.connected(now, peer, address()), None);
        assert_eq!(self.due_checks(now), [peer]);
        self.checked(now, peer, answer)
    }

    fn usable_peer(&mut self, peer: PeerId) {
        assert_eq!(self.checked_as(SECOND, peer, block(OURS)), None);
        assert_eq!(self.state(peer), PeerState::Usable);
    }

    fn banned_peer(&mut self, now: Duration, peer: PeerId) {
        let answer = ProbeAnswer::Fault { parent: None, fault: lie() };
        let action = self.checked_as(now, peer, answer);
        assert_eq!(action, Some(Action::Disconnect(peer)));
    }
}
