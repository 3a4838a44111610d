//! What people and the coordinator are shown of peers.

use super::PeerBook;
use crate::{
    reputation::{BanStatus, PeerState, PeerStatus, PeerView, record::Record, score::Part},
    types::{PeerId, Transport},
};

impl PeerBook {
    /// Everything, for people and for the coordinator.
    pub(in crate::reputation) fn view(&self) -> PeerView {
        let mut view = PeerView::default();
        for (peer, record) in &self.records {
            match &record.state {
                PeerState::Usable => {
                    view.usable.insert(*peer, record.standing(self.settings.weights));
                }
                PeerState::Checking => view.checking += 1,
                PeerState::OtherChain { genesis } => view.other_chain = Some((*peer, *genesis)),
                PeerState::Banned => view.banned += 1,
                PeerState::Unsupported | PeerState::Gone => {}
            }
            view.peers.push(self.status(*peer, record));
        }
        view
    }

    /// The ban of `peer`, for people.
    pub(in crate::reputation) fn ban_of(&self, peer: PeerId) -> Option<BanStatus> {
        self.records.get(&peer).and_then(ban_status)
    }

    fn status(&self, peer: PeerId, record: &Record) -> PeerStatus {
        PeerStatus {
            peer: peer.to_string(),
            address: record.address.to_string(),
            transport: Transport::of(&record.address),
            state: record.state.clone(),
            blocks: record.figures.blocks,
            failed_blocks: record.figures.failed_blocks,
            bytes: record.figures.bytes,
            failures: record.figures.failures,
            score: record.figures.score.overall(self.settings.weights),
            trust: record.figures.score.permille(Part::Trust),
            reliability: record.figures.score.permille(Part::Reliability),
            performance: record.figures.score.permille(Part::Performance),
            behaviour: record.figures.score.permille(Part::Behaviour),
            latency_seconds: record.figures.latency,
            bytes_per_second: record.figures.rate,
            probation: record.figures.probation > 0,
            ban: ban_status(record),
        }
    }
}

fn ban_status(record: &Record) -> Option<BanStatus> {
    let ban = record.figures.ban?;
    Some(BanStatus {
        reason: ban.reason,
        until_unix_seconds: ban.until.as_secs(),
        offences: record.figures.offences.count(),
    })
}
