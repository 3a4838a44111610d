//! From the verdicts on single blocks to the verdict on a reply.

use crate::{
    consensus::{BlockFault, LinkFault, VerifiedBlock, links},
    flow::{RawSegment, Segment},
    types::{BlockRef, Height, HeightRange},
    wire::block::BlockError,
};

/// What became of a raw segment: every height of it is in one of `good` or not at all.
pub struct Verdict {
    /// Blocks that passed, as segments in order of height.
    pub good: Vec<Segment>,
    /// What was wrong, in order of height.
    pub faults: Vec<Fault>,
}

/// Something wrong with a reply.
#[derive(Debug)]
pub struct Fault {
    /// The height that was asked for.
    pub height: Height,
    /// What came instead.
    pub fault: ReplyFault,
}

/// What can be wrong with a block of a reply.
#[derive(Debug, thiserror::Error)]
pub enum ReplyFault {
    /// The bytes are no block in the one canonical form.
    #[error("not a canonical block")]
    Encoding(#[source] BlockError),
    /// The block breaks a rule by itself.
    #[error("invalid block")]
    Block(#[source] BlockFault),
    /// A block of another height. Servers with a hole in their index do that.
    #[error("a block of height {found} instead")]
    OtherHeight {
        /// Its height.
        found: Height,
    },
    /// Two neighbours of one reply, both signed by a majority, do not link.
    #[error("does not link to the block before it")]
    Link(#[source] LinkFault),
}

impl ReplyFault {
    /// Whether an honest peer could never have sent it, however old or forked its chain is.
    /// Blocks that carry a valid majority never convict their sender.
    pub fn is_provable_lie(&self) -> bool {
        match self {
            Self::Encoding(_) => true,
            Self::Block(fault) => fault.is_provable_lie(),
            Self::OtherHeight { .. } | Self::Link(_) => false,
        }
    }

    /// The block that does not fit to the one before it, though a majority signed both.
    pub const fn unlinked(&self) -> Option<BlockRef> {
        match self {
            Self::Link(fault) => Some(fault.child()),
            Self::Encoding(_) | Self::Block(_) | Self::OtherHeight { .. } => None,
        }
    }
}

/// Puts the verdicts on the blocks of `raw` together, one for each block, in order.
pub(super) fn assemble(raw: RawSegment, blocks: Vec<Result<VerifiedBlock, ReplyFault>>) -> Verdict {
    let RawSegment { range, origin, mut permit, span, .. } = raw;
    let mut runs: Vec<Vec<VerifiedBlock>> = Vec::new();
    let mut run: Vec<VerifiedBlock> = Vec::new();
    let mut faults = Vec::new();
    for (height, block) in range.heights().zip(blocks) {
        let block = match block {
            Ok(block) if block.height() == height => block,
            other => {
                let fault = match other {
                    Ok(block) => ReplyFault::OtherHeight { found: block.height() },
                    Err(fault) => fault,
                };
                faults.push(Fault { height, fault });
                runs.push(std::mem::take(&mut run));
                continue;
            }
        };
        if let Some(before) = run.last()
            && let Err(fault) = links(&before.link_point(), &block)
        {
            faults.push(Fault { height, fault: ReplyFault::Link(fault) });
            runs.push(std::mem::take(&mut run));
        }
        run.push(block);
    }
    runs.push(run);
    let good = runs.into_iter().filter_map(|blocks| {
        let start = blocks.first()?.height();
        let last = blocks.last()?.height();
        let range = HeightRange::inclusive(start, last)?;
        let bytes = blocks.iter().map(|block| block.raw().len() as u64).sum();
        let permit = permit.split(bytes, last.saturating_add(1));
        Some(Segment { range, blocks, origin, permit, span: span.clone() })
    });
    Verdict { good: good.collect(), faults }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
