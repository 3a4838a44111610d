//! One block asked of one peer and verified: what a peer has, proven by what it sends.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tracing::Instrument as _;

use super::PeerCaller;
use crate::{
    flow::{ByteBudget, Origin, RawSegment, RequestId},
    ports::RequestError,
    types::{BlockRoot, Height, HeightRange, PeerId},
    validation::{ReplyFault, Urgency, ValidatorHandle},
    wire::block::EncodedBlock,
};

/// Asks single blocks.
#[derive(Clone)]
pub struct Prober {
    /// The way to peers.
    pub caller: PeerCaller,
    /// Who verifies.
    pub validator: ValidatorHandle,
    /// Accounts for the block while it is looked at.
    pub budget: ByteBudget,
    /// How long the block may take.
    pub deadline: Duration,
}

/// A block that a majority signed: proof that the chain reached its height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenBlock {
    /// Its height.
    pub height: Height,
    /// Its root.
    pub root: BlockRoot,
    /// Its parent's root.
    pub parent: BlockRoot,
}

/// What a probe found.
#[derive(Debug)]
pub enum ProbeAnswer {
    /// The block.
    Block(ProvenBlock),
    /// The peer closed cleanly without a block: it has none there, or is one of those servers
    /// that close early.
    Nothing,
    /// A block that does not pass.
    Fault {
        /// The parent it names, where it could be decoded.
        parent: Option<BlockRoot>,
        /// What is wrong.
        fault: ReplyFault,
    },
    /// No answer.
    Failed(RequestError),
    /// Verification gave no verdict: nobody's fault, ask again.
    NoVerdict,
}

impl Prober {
    /// Asks `peer` for the block at `height`.
    pub async fn probe(&self, peer: PeerId, height: Height) -> ProbeAnswer {
        let span = tracing::debug_span!("probe", %peer, %height);
        let ask = AssertUnwindSafe(self.ask(peer, height)).catch_unwind();
        // Who asked waits for this answer and has no other sign of its end.
        ask.instrument(span).await.unwrap_or_else(|_| {
            tracing::error!(%peer, %height, "a probe panicked");
            ProbeAnswer::NoVerdict
        })
    }

    async fn ask(&self, peer: PeerId, height: Height) -> ProbeAnswer {
        let range = HeightRange::single(height);
        let block = match self.caller.range(peer, range, self.deadline).await {
            Ok(mut call) => call.next().await,
            Err(error) => return ProbeAnswer::Failed(error),
        };
        let raw = match block {
            None => return ProbeAnswer::Nothing,
            Some(Err(error)) => return ProbeAnswer::Failed(error),
            Some(Ok(raw)) => raw,
        };
        // A probe is one block and never waits for memory: it is asked as if at the front.
        let Some(permit) = self.budget.try_reserve(Height::GENESIS, raw.len() as u64) else {
            return ProbeAnswer::NoVerdict;
        };
        let parent = EncodedBlock::decode(raw.clone()).ok().map(|block| block.parent());
        let origin = Origin { peer, request: RequestId(u64::MAX) };
        let span = tracing::Span::current();
        let segment = RawSegment { range, blocks: vec![raw], origin, permit, span };
        let Ok(verdict) = self.validator.verify(segment, Urgency::AtOnce).await else {
            return ProbeAnswer::NoVerdict;
        };
        let fault = verdict.faults.into_iter().next();
        let block = verdict.good.first().and_then(|segment| segment.blocks.first());
        match (block, fault) {
            (Some(block), _) => ProbeAnswer::Block(ProvenBlock {
                height: block.height(),
                root: block.root(),
                parent: block.parent(),
            }),
            (None, Some(fault)) => ProbeAnswer::Fault { parent, fault: fault.fault },
            (None, None) => ProbeAnswer::NoVerdict,
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
