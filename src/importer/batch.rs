//! Which blocks of the queue are imported next. Pure.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    consensus::{LinkFault, LinkPoint, VerifiedBlock, links},
    flow::{Origin, Segment},
    types::Height,
};

/// A block that does not continue the chain. It was signed by a majority, so its sender is stale
/// or on a fork, and no liar.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its height.
    pub at: Height,
    /// Who sent it.
    pub origin: Origin,
    /// What does not fit.
    pub fault: LinkFault,
}

/// What the queue yields.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Blocks that continue the tip, in order.
    pub(super) blocks: Vec<VerifiedBlock>,
    /// Why it ends there, if not for its size or the end of the queue.
    pub(super) stop: Option<Stop>,
}

/// Why a batch ended early.
#[derive(Debug)]
pub enum Stop {
    /// The next block does not link.
    Refused(Box<Refusal>),
    /// The next segment starts above the next height: what lies between was lost.
    Gap,
}

/// Takes the next batch of at most `blocks_max` blocks off the queue. Blocks at or below the tip
/// are skipped: they were imported before. A segment is left in the queue until its last block is
/// taken. After a stop the queue is empty: nothing behind can be imported.
pub(super) fn next_batch(
    tip: &LinkPoint,
    queue: &mut VecDeque<Arc<Segment>>,
    blocks_max: usize,
) -> Batch {
    let mut batch = Batch::default();
    let mut tip = *tip;
    while let Some(segment) = queue.front() {
        if segment.range.start() > tip.height.saturating_add(1) {
            batch.stop = Some(Stop::Gap);
            break;
        }
        let imported = tip.height;
        for block in segment.blocks.iter().filter(|block| block.height() > imported) {
            if batch.blocks.len() >= blocks_max {
                return batch;
            }
            if let Err(fault) = links(&tip, block) {
                let (at, origin) = (block.height(), segment.origin);
                batch.stop = Some(Stop::Refused(Box::new(Refusal { at, origin, fault })));
                queue.clear();
                return batch;
            }
            tip = block.link_point();
            batch.blocks.push(block.clone());
        }
        queue.pop_front();
    }
    if batch.stop.is_some() {
        queue.clear();
    }
    batch
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
