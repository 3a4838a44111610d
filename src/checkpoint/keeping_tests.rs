use super::*;
use crate::{
    adapters::memory::MemoryJournal,
    checkpoint::CheckpointKind,
    doubles::{ChainDouble, blocks},
};

/// A chain of nine blocks whose fourth cannot be read.
fn chain() -> ChainDouble {
    let chain = ChainDouble::new([]);
    chain.append(&(1..=9).map(|height| blocks().at(height)).collect::<Vec<_>>()).unwrap();
    *chain.bad_sector.lock().unwrap() = Some(Height::new(4));
    chain
}

fn journal_of(kept: impl IntoIterator<Item = Checkpoint>) -> MemoryJournal {
    let journal = MemoryJournal::default();
    kept.into_iter().for_each(|checkpoint| journal.put_checkpoint(&checkpoint).unwrap());
    journal
}

fn claim(height: u64) -> Checkpoint {
    Checkpoint { verified: false, ..blocks().checkpoint(height) }
}

#[test]
fn node_starts_with_a_checkpoint_whose_block_cannot_be_read_and_does_not_use_it() {
    let kept = [2, 4, 6].map(|height| blocks().checkpoint(height));
    let journal = journal_of(kept.clone());
    let survey = Survey::take(&chain(), &journal).unwrap();
    assert_eq!(survey.sound, [kept[0].clone(), kept[2].clone()]);
    assert_eq!(survey.lost, [kept[1].clone()]);
    assert_eq!(journal.checkpoints().unwrap().0, kept, "nothing was set aside");
    let checked = check_all(&chain(), &journal).unwrap();
    assert_eq!(checked.checkpoints[1].result, CheckpointCheck::BlockDamaged);
    assert_eq!(checked.wrong(), 1);
}

#[test]
fn claim_whose_block_cannot_be_read_stays_a_claim_and_the_others_are_settled() {
    let journal = journal_of([2, 4, 6].map(claim));
    settle_claims(&chain(), &journal).unwrap();
    let (kept, _) = journal.checkpoints().unwrap();
    let kept: Vec<_> = kept.iter().map(|kept| (kept.height.get(), kept.verified)).collect();
    assert_eq!(kept, [(2, true), (4, false), (6, true)]);
}

#[test]
fn no_checkpoint_is_made_of_a_block_that_cannot_be_read() {
    let (journal, what) = (journal_of([]), (Height::new(4), CheckpointKind::Manual));
    let failed = make(&chain(), &journal, what, Duration::ZERO, None).unwrap_err();
    assert!(matches!(failed, KeepError::Unreadable(ChainError::Io { .. })), "{failed:?}");
    assert!(journal.checkpoints().unwrap().0.is_empty());
}
