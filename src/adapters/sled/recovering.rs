//! Going on from a whole block where the head is damaged.
//!
//! Only looks: what is decided is [`checkpoint::decide`](crate::checkpoint::decide), what is moved
//! is [`super::quarantine`]. Looks at a bounded number of blocks, whatever the length of the chain.
//! Whole blocks that follow the one it goes on from are taken in again when the directory opens, so
//! damage of the index alone costs nothing.

use super::{
    OpenError, RecordError, RecordStore, SegmentError,
    chain_error::in_full,
    database::IndexError,
    index::Index,
    open_error::BlockDamage,
    opening::{Opening, check_block},
    segments::SegmentReader,
};
use crate::{
    checkpoint::{BlockFacts, Damaged, Decided, Recovery, SkipReason, SkippedCheckpoint, decide},
    ports::Journal as _,
    types::Height,
};

/// How a head fails.
struct HeadFault {
    /// Its height, as far as it is known.
    head: Height,
    /// The highest height that may be whole.
    top: Height,
    /// What to answer if nothing saves the chain.
    refusal: OpenError,
    /// The same for people.
    damage: String,
}

impl Opening<'_> {
    /// Makes a whole block the head if the head fails its checks, and says what was done.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then.
    pub(super) fn recover(
        &self,
        index: &Index,
        reader: &SegmentReader,
        oldest: Height,
    ) -> Result<Option<Recovery>, OpenError> {
        let Some(fault) = self.head_fault(index, reader)? else { return Ok(None) };
        let failed = |error| self.index_error(error);
        let identity = index.identity().map_err(failed)?;
        let chain = identity.ok_or_else(|| failed(IndexError::Missing { name: "identity" }))?;
        let journal = RecordStore::open(index.database()).map_err(failed)?;
        let (checkpoints, unreadable) = match journal.checkpoints() {
            Ok(read) => read,
            // The journal helps where it can; a near block needs none.
            Err(error) => (Vec::new(), vec![error]),
        };
        let damaged = Damaged { chain: chain.genesis, oldest, top: fault.top };
        let decision =
            decide(damaged, &checkpoints, |height| match check_block(index, reader, height) {
                Ok((_, block)) => Ok(Some(BlockFacts::of(&block))),
                Err(damage) => self.unless_unreadable(damage).map(|_| None),
            });
        let Decided { saved, mut skipped } = decision?;
        skipped.extend(unreadable.iter().map(|error| SkippedCheckpoint {
            height: None,
            why: SkipReason::Damaged(in_full(error)),
        }));
        for skipped in &skipped {
            tracing::warn!(%skipped, "a checkpoint does not save the chain");
        }
        let Some((to, by)) = saved else { return Err(fault.refusal) };
        index.begin_recovery(to).map_err(failed)?;
        let HeadFault { head: from, damage, .. } = fault;
        Ok(Some(Recovery { from, damage, to, by, skipped, quarantine: None }))
    }

    fn head_fault(
        &self,
        index: &Index,
        reader: &SegmentReader,
    ) -> Result<Option<HeadFault>, OpenError> {
        let failed = |error| self.index_error(error);
        let head = match index.head() {
            Ok(head) => head,
            Err(error) if is_damage(&error) => return self.lost_head(index, error).map(Some),
            Err(error) => return Err(failed(error)),
        };
        let height = head.height;
        match check_block(index, reader, height) {
            Ok((entry, _)) if entry.root == head.root => Ok(None),
            Ok(_) => {
                let error = IndexError::BadEntry { height };
                let damage = in_full(&error);
                let Some(top) = height.checked_sub(1) else { return Err(failed(error)) };
                Ok(Some(HeadFault { head: height, top, refusal: failed(error), damage }))
            }
            // A later release knows what to do with it.
            Err(damage @ BlockDamage::Record(SegmentError::OtherVersion { .. })) => {
                Err(self.corrupt_block(index, reader, height, None, damage))
            }
            Err(damage) => {
                let damage = self.unless_unreadable(damage)?;
                let text = in_full(&damage);
                let refusal = self.corrupt_block(index, reader, height, None, damage);
                Ok(Some(HeadFault { head: height, top: height, refusal, damage: text }))
            }
        }
    }

    /// Without a record of the head, the highest entry may be it, unless a cut was under way.
    fn lost_head(&self, index: &Index, error: IndexError) -> Result<HeadFault, OpenError> {
        let failed = |error| self.index_error(error);
        let cutting = index.cutting_to().map_err(failed)?.map(|head| head.height);
        let highest = index.highest().map_err(failed)?;
        let damage = in_full(&error);
        let refusal = failed(error);
        match cutting.or(highest) {
            Some(top) => Ok(HeadFault { head: top, top, refusal, damage }),
            None => Err(refusal),
        }
    }
}

/// Whether the record of the head is damaged, rather than unreadable or of another release.
fn is_damage(error: &IndexError) -> bool {
    match error {
        IndexError::Missing { .. } => true,
        IndexError::BadRecord { source, .. } => {
            !matches!(source, RecordError::FutureVersion { .. } | RecordError::PastVersion { .. })
        }
        IndexError::Io { .. }
        | IndexError::Damaged { .. }
        | IndexError::BadEntry { .. }
        | IndexError::BadRoot
        | IndexError::Poisoned => false,
    }
}
