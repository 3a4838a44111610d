use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use supervisors::{ChildExit, ChildHandle, ChildSpec, SupervisorHandle};
use tokio::sync::Notify;

use super::*;
use crate::{
    adapters::memory::MemoryJournal,
    checkpoint::{
        CheckedCheckpoint, Checkpoint, CheckpointCheck, CheckpointError, CheckpointHandle,
        KeepError, MANUAL_KEPT_MAX, RunState,
    },
    consensus::VerifiedBlock,
    coordinator::{CoordinatorMsg, Phase},
    doubles::{ChainDouble, Recorded, blocks, exit_of, recorded, tree},
    ports::{BlockSource as _, SystemClock},
    reputation::StoredPeer,
    types::PeerId,
};

/// What a write of the journal does.
enum Write {
    Fails,
    Panics,
    Waits(mpsc::Receiver<()>),
}

/// A journal in memory whose next writes follow a script.
#[derive(Default)]
struct JournalDouble {
    inner: MemoryJournal,
    script: Mutex<VecDeque<Write>>,
    /// Notified when a write has begun.
    begun: Notify,
}

impl JournalDouble {
    fn new(script: impl IntoIterator<Item = Write>) -> Arc<Self> {
        let script = Mutex::new(script.into_iter().collect());
        Arc::new(Self { script, ..Self::default() })
    }

    fn write(&self) -> Result<(), ChainError> {
        self.begun.notify_one();
        let write = self.script.lock().unwrap().pop_front();
        match write {
            Some(Write::Fails) => {
                let source = std::io::Error::other("disk full");
                Err(ChainError::Io { action: "writing".to_owned(), source })
            }
            Some(Write::Panics) => panic!("the journal panics"),
            // Either the test let it go on, or it has ended.
            Some(Write::Waits(go_on)) => {
                let _ = go_on.recv();
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Journal for JournalDouble {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        self.write()?;
        self.inner.put_checkpoint(checkpoint)
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        self.inner.checkpoints()
    }

    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError> {
        self.write()?;
        self.inner.remove_checkpoint(height, kind)
    }

    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError> {
        self.inner.set_aside_damaged()
    }

    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError> {
        self.inner.set_aside(height, kind)
    }

    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError> {
        self.write()?;
        self.inner.store_peers(changed, forgotten)
    }

    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError> {
        self.inner.peers()
    }
}

/// A checkpoint store over doubles, every ten blocks, three kept.
struct World {
    journal: Arc<JournalDouble>,
    chain: Arc<ChainDouble>,
    child: ChildHandle<CheckpointMsg>,
    store: CheckpointHandle,
    coordinator: Recorded<CoordinatorMsg>,
    tree: SupervisorHandle,
    status: watch::Sender<SyncStatus>,
    restored: Restored,
}

fn h(number: u64) -> Height {
    Height::new(number)
}

impl World {
    async fn new(journal: Arc<JournalDouble>) -> Self {
        Self::over(journal, Arc::new(ChainDouble::new([]))).await
    }

    /// The same over a chain that is there already.
    async fn over(journal: Arc<JournalDouble>, chain: Arc<ChainDouble>) -> Self {
        let (status, restored) = (
            watch::Sender::new(SyncStatus::at_start(chain.genesis(), chain.head())),
            Restored::default(),
        );
        let coordinator = recorded("coordinator");
        let child = ChildHandle::new("checkpoints");
        let args = CheckpointArgs {
            settings: CheckpointSettings { interval_blocks: 10, kept_max: 3 },
            journal: journal.clone(),
            chain: chain.clone(),
            clock: Arc::new(SystemClock::start()),
            coordinator: CoordinatorHandle::new(coordinator.handle.clone()),
            status: status.clone(),
            restored: Arc::clone(&restored),
        };
        let spec = ChildSpec::new(&child, move || (CheckpointStore, args.clone()));
        let tree = tree([coordinator.spec.clone(), spec]).await;
        let store = CheckpointHandle::new(child.clone());
        Self { journal, chain, child, store, coordinator, tree, status, restored }
    }

    /// Imports up to `height` and says so.
    fn head(&self, height: u64) {
        self.chain.append(&above(self, height)).unwrap();
        self.store.head_moved(h(height)).unwrap();
    }

    /// The height of the newest checkpoint that the coordinator is told next.
    async fn told(&mut self) -> u64 {
        let CoordinatorMsg::CheckpointMade { height } = self.coordinator.told.recv().await.unwrap()
        else {
            panic!("not from the checkpoint store")
        };
        height.get()
    }

    async fn kept(&self) -> Vec<(u64, CheckpointKind)> {
        let all = self.store.list().await.unwrap();
        all.iter().map(|checkpoint| (checkpoint.height.get(), checkpoint.kind)).collect()
    }
}

/// What the chain has to get to end at `height`.
fn above(world: &World, height: u64) -> Vec<VerifiedBlock> {
    let from = world.chain.tip().unwrap().height.get() + 1;
    (from..=height).map(|height| blocks().at(height)).collect()
}

/// What the sync says of itself when it has come to `height`.
fn status_at(world: &World, height: u64, phase: Phase) {
    world.status.send_modify(|status| {
        (status.current_height, status.blocks_processed) = (h(height), height + 1_000);
        (status.target_height, status.target_given) = (h(90), true);
        status.phase = phase;
    });
}

const PERIODIC: CheckpointKind = CheckpointKind::Periodic;
const MANUAL: CheckpointKind = CheckpointKind::Manual;

#[tokio::test(start_paused = true)]
async fn periodic_checkpoints_are_at_exact_multiples_with_the_root_of_that_block() {
    let mut world = World::new(JournalDouble::new([])).await;
    for head in [9, 10, 11, 19, 25, 25, 29] {
        world.head(head);
    }
    assert_eq!((world.told().await, world.told().await), (10, 20));
    assert_eq!(world.kept().await, [(10, PERIODIC), (20, PERIODIC)]);
    for checkpoint in world.store.list().await.unwrap() {
        assert_eq!(checkpoint.root, blocks().at(checkpoint.height.get()).root());
    }
}

#[tokio::test(start_paused = true)]
async fn head_that_passes_several_multiples_at_once_makes_the_highest() {
    let mut world = World::new(JournalDouble::new([])).await;
    world.head(47);
    assert_eq!(world.told().await, 40);
    assert_eq!(world.kept().await, [(40, PERIODIC)]);
}

#[tokio::test(start_paused = true)]
async fn oldest_periodic_ones_go_and_manual_ones_stay() {
    let mut world = World::new(JournalDouble::new([])).await;
    world.head(5);
    let manual = world.store.create().await.unwrap();
    assert_eq!((manual.height, manual.kind), (h(5), MANUAL));
    assert_eq!(world.told().await, 5, "a checkpoint made by hand is one");
    for head in [10, 20, 30, 40, 50] {
        world.head(head);
        assert_eq!(world.told().await, head);
    }
    let kept = [(5, MANUAL), (30, PERIODIC), (40, PERIODIC), (50, PERIODIC)];
    assert_eq!(world.kept().await, kept);
}

#[tokio::test(start_paused = true)]
async fn checkpoint_made_by_hand_at_a_multiple_stays_beside_the_periodic_one() {
    let world = World::new(JournalDouble::new([])).await;
    // The store hears of the head only after somebody asked.
    let ten: Vec<_> = (1..=10).map(|height| blocks().at(height)).collect();
    world.chain.append(&ten).unwrap();
    world.store.create().await.unwrap();
    for head in [10, 20, 30, 40, 50] {
        world.head(head);
    }
    let kept = [(10, MANUAL), (30, PERIODIC), (40, PERIODIC), (50, PERIODIC)];
    assert_eq!(world.kept().await, kept);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_durable_is_told() {
    let (go_on, wait) = mpsc::channel();
    let journal = JournalDouble::new([Write::Waits(wait)]);
    let mut world = World::new(journal).await;
    world.head(10);
    world.journal.begun.notified().await;
    world.head(20);
    assert!(world.coordinator.told.try_recv().is_err());
    go_on.send(()).unwrap();
    assert_eq!(world.told().await, 10, "20 is not even begun");
    assert_eq!(world.told().await, 20);
}

#[tokio::test(start_paused = true)]
async fn store_that_starts_tells_what_it_finds_and_does_not_make_it_again() {
    let journal = JournalDouble::new([]);
    let mut first = World::new(Arc::clone(&journal)).await;
    first.head(20);
    assert_eq!(first.told().await, 20);
    let made = first.store.list().await.unwrap();
    first.tree.shutdown(Duration::from_secs(1)).await.unwrap();
    let mut second = World::over(journal, first.chain).await;
    assert_eq!(second.told().await, 20);
    second.head(29);
    let found = second.store.list().await.unwrap();
    assert_eq!((&found[..1], found[1].kind), (&made[..], CheckpointKind::Stop));
}

#[tokio::test(start_paused = true)]
async fn work_accepted_before_a_stop_is_done() {
    let (go_on, wait) = mpsc::channel();
    let world = World::new(JournalDouble::new([Write::Waits(wait)])).await;
    world.head(10);
    world.journal.begun.notified().await;
    world.head(20);
    let asked = tokio::spawn({
        let store = world.store.clone();
        async move { store.create().await }
    });
    // The store has taken all of them in once it has nothing left to take.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let tree = world.tree.clone();
    let stopping = tokio::spawn(async move { tree.shutdown(Duration::from_secs(4)).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished(), "it did not wait");
    go_on.send(()).unwrap();
    stopping.await.unwrap().unwrap();
    assert_eq!(asked.await.unwrap().unwrap().height, h(20));
    let (kept, _) = world.journal.checkpoints().unwrap();
    let kept: Vec<_> = kept.iter().map(|c| (c.height.get(), c.kind)).collect();
    let stop = CheckpointKind::Stop;
    assert_eq!(kept, [(10, PERIODIC), (20, PERIODIC), (20, MANUAL), (20, stop)]);
}

/// No virtual time: it stands still while the write waits.
#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_done_and_the_rest_is() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new(JournalDouble::new([Write::Waits(wait)])).await;
    world.head(10);
    world.journal.begun.notified().await;
    let asked = tokio::spawn({
        let store = world.store.clone();
        async move { store.create().await }
    });
    // The chain goes on once the store has taken in what it is asked.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    world.head(20);
    go_on.send(()).unwrap();
    assert_eq!((world.told().await, world.told().await), (10, 20));
    assert_eq!(world.kept().await, [(10, PERIODIC), (20, PERIODIC)]);
}

#[tokio::test(start_paused = true)]
async fn journal_failure_ends_the_actor_with_its_reason() {
    let world = World::new(JournalDouble::new([Write::Fails])).await;
    let mut reports = world.tree.reports();
    world.head(10);
    let exit = exit_of("checkpoints", &mut reports).await;
    let failure = exit.downcast_ref::<JournalFailure>().expect("the type survives");
    assert!(matches!(failure.0, ChainError::Io { .. }), "{exit:?}");
}

#[tokio::test(start_paused = true)]
async fn journal_that_panics_ends_the_actor_and_does_not_hang_it() {
    let world = World::new(JournalDouble::new([Write::Panics])).await;
    let mut reports = world.tree.reports();
    world.head(10);
    let exit = exit_of("checkpoints", &mut reports).await;
    assert!(matches!(exit, ChildExit::Failed(_)));
    assert!(exit.downcast_ref::<JournalFailure>().is_some(), "{exit:?}");
}

#[tokio::test(start_paused = true)]
async fn failure_of_a_checkpoint_asked_for_reaches_who_asked() {
    let world = World::new(JournalDouble::new([Write::Fails])).await;
    let failure = world.store.create().await.unwrap_err();
    let CheckpointError::Keep(KeepError::Store(ChainError::Io { .. })) = failure else {
        panic!("{failure:?}")
    };
}

#[tokio::test(start_paused = true)]
async fn failed_write_ends_the_actor_whoever_asked_for_it() {
    for what in ["peers", "create", "take in", "stop", "remove"] {
        let world = World::new(JournalDouble::new([Write::Fails])).await;
        world.chain.append(&above(&world, 5)).unwrap();
        let mut reports = world.tree.reports();
        let failed = match what {
            "peers" => world.store.store_peers(Vec::new(), Vec::new()).await.unwrap_err(),
            "create" => world.store.create().await.unwrap_err(),
            "take in" => world.store.take_in(vec![blocks().checkpoint(5)]).await.unwrap_err(),
            "stop" => world.store.sync_stopped().await.unwrap_err(),
            _ => world.store.remove(h(5)).await.unwrap_err(),
        };
        assert!(matches!(failed, CheckpointError::Keep(KeepError::Store(_))), "{failed:?}");
        let exit = exit_of("checkpoints", &mut reports).await;
        let failure = exit.downcast_ref::<JournalFailure>().expect("the type survives");
        assert!(failure.0.to_string().contains("writing"), "{what}: {exit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn block_that_cannot_be_read_is_told_to_who_asked_and_the_actor_goes_on() {
    let world = World::new(JournalDouble::new([])).await;
    world.head(5);
    *world.chain.failed_reads.lock().unwrap() = Some(0);
    let failed = world.store.create().await.unwrap_err();
    assert!(matches!(failed, CheckpointError::Keep(KeepError::Unreadable(_))), "{failed:?}");
    *world.chain.failed_reads.lock().unwrap() = None;
    assert_eq!(world.store.create().await.unwrap().height, h(5));
}

#[tokio::test(start_paused = true)]
async fn checkpoint_says_what_its_block_is_and_how_far_the_sync_was_there() {
    let mut world = World::new(JournalDouble::new([])).await;
    status_at(&world, 12, Phase::DownloadingBlocks { target: h(90) });
    world.head(12);
    world.told().await;
    let kept = world.store.check().await.unwrap().checkpoints;
    assert_eq!(kept.len(), 1);
    let CheckedCheckpoint { checkpoint, result } = &kept[0];
    assert_eq!(*result, CheckpointCheck::Holds);
    let block = blocks().at(10);
    let (ours, parent) = (blocks().genesis.root(), blocks().at(9).root());
    assert_eq!((checkpoint.chain, checkpoint.parent), (ours, parent));
    let state_root = block.payload().state_root;
    assert_eq!(checkpoint.state_root.as_bytes(), &state_root.0);
    assert!(checkpoint.verified);
    let progress = checkpoint.progress.unwrap();
    assert_eq!((progress.blocks_processed, progress.run_state), (1_010, RunState::Running));
    assert_eq!((progress.target_height, progress.target_given), (h(90), true));
}

#[tokio::test(start_paused = true)]
async fn node_counts_on_from_the_newest_checkpoint_and_knows_what_it_was_told() {
    let journal = JournalDouble::new([]);
    let mut first = World::new(Arc::clone(&journal)).await;
    assert_eq!(first.restored.get(), Some(&None), "there was none");
    status_at(&first, 20, Phase::Paused);
    first.head(20);
    first.told().await;
    first.tree.shutdown(Duration::from_secs(1)).await.unwrap();
    // What is imported while nobody makes checkpoints counts, too.
    let more: Vec<_> = (21..=23).map(|height| blocks().at(height)).collect();
    first.chain.append(&more).unwrap();

    let second = World::over(journal, first.chain).await;
    let restored = second.restored.get().copied().flatten().unwrap();
    assert_eq!((restored.blocks_processed, restored.run_state), (1_023, RunState::Paused));
    assert_eq!(second.status.borrow().blocks_processed, 1_023);
    assert_eq!(second.status.borrow().last_checkpoint, Some(h(20)));
}

#[tokio::test(start_paused = true)]
async fn stop_leaves_a_checkpoint_and_only_the_newest_of_stops_are_kept() {
    let journal = JournalDouble::new([]);
    let mut chain = Arc::new(ChainDouble::new([]));
    for height in [0, 1, 3, 5, 7, 9] {
        let world = World::over(Arc::clone(&journal), chain).await;
        if height > 0 {
            let from = world.chain.head().height.get() + 1;
            let more: Vec<_> = (from..=height).map(|height| blocks().at(height)).collect();
            world.chain.append(&more).unwrap();
        }
        world.tree.shutdown(Duration::from_secs(1)).await.unwrap();
        chain = world.chain;
    }
    let (kept, _) = journal.checkpoints().unwrap();
    let kept: Vec<_> = kept.iter().map(|c| (c.height.get(), c.kind)).collect();
    assert_eq!(kept, [5, 7, 9].map(|height| (height, CheckpointKind::Stop)));
}

#[tokio::test(start_paused = true)]
async fn command_to_stop_leaves_a_checkpoint_at_once() {
    let mut world = World::new(JournalDouble::new([])).await;
    world.head(7);
    world.store.sync_stopped().await.unwrap();
    assert_eq!(world.told().await, 7);
    assert_eq!(world.kept().await, [(7, CheckpointKind::Stop)]);
}

#[tokio::test(start_paused = true)]
async fn command_to_stop_leaves_a_checkpoint_also_where_the_store_ends_meanwhile() {
    let (go_on, wait) = mpsc::channel();
    let world = World::new(JournalDouble::new([Write::Waits(wait)])).await;
    world.head(10);
    world.journal.begun.notified().await;
    let stopped = tokio::spawn({
        let store = world.store.clone();
        async move { store.sync_stopped().await }
    });
    // It waits behind the write, in the store that ends.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(world.child.kill());
    go_on.send(()).unwrap();
    stopped.await.unwrap().unwrap();
    assert_eq!(world.kept().await, [(10, PERIODIC), (10, CheckpointKind::Stop)]);
}

#[tokio::test(start_paused = true)]
async fn one_by_hand_too_many_is_refused_until_one_is_removed() {
    let journal = JournalDouble::new([]);
    let world = World::new(Arc::clone(&journal)).await;
    world.head(5);
    let claim = world.store.create().await.unwrap();
    let full = (1..MANUAL_KEPT_MAX as u64)
        .map(|above| Checkpoint { height: h(1_000 + above), ..claim.clone() });
    full.for_each(|checkpoint| journal.put_checkpoint(&checkpoint).unwrap());
    // The same again takes no room.
    world.store.create().await.unwrap();
    world.head(6);
    let refused = world.store.create().await.unwrap_err();
    assert!(matches!(refused, CheckpointError::Keep(KeepError::TooMany { .. })), "{refused:?}");
    assert!(refused.to_string().contains("checkpoint remove"), "{refused}");
    assert!(world.store.remove(h(5)).await.unwrap());
    assert!(!world.store.remove(h(5)).await.unwrap());
    assert_eq!(world.store.create().await.unwrap().height, h(6));
}

#[tokio::test(start_paused = true)]
async fn forged_and_foreign_checkpoints_are_set_aside_and_never_restored() {
    let journal = JournalDouble::new([]);
    let mut first = World::new(Arc::clone(&journal)).await;
    status_at(&first, 20, Phase::Idle);
    first.head(20);
    first.told().await;
    let honest = first.store.list().await.unwrap()[0].clone();
    first.tree.shutdown(Duration::from_secs(1)).await.unwrap();
    let lie = SyncProgress { blocks_processed: 999_999, ..honest.progress.unwrap() };
    let lie = Checkpoint { progress: Some(lie), kind: MANUAL, ..honest.clone() };
    let of_other_block = Checkpoint { root: blocks().at(19).root(), ..lie.clone() };
    let of_other_chain = Checkpoint { chain: lie.root, height: h(15), ..lie.clone() };
    let above = Checkpoint { height: h(70), ..lie.clone() };
    for forged in [&of_other_block, &of_other_chain, &above] {
        journal.put_checkpoint(forged).unwrap();
    }
    let second = World::over(Arc::clone(&journal), first.chain).await;
    assert_eq!(second.restored.get().unwrap().unwrap().blocks_processed, 1_020);
    let kept: Vec<_> = second.kept().await;
    // The one above the head may come true.
    assert_eq!(kept, [(20, PERIODIC), (20, CheckpointKind::Stop), (70, MANUAL)]);
}

#[tokio::test(start_paused = true)]
async fn claim_is_unverified_until_its_block_is_in_the_chain() {
    let journal = JournalDouble::new([]);
    let world = World::new(Arc::clone(&journal)).await;
    world.head(30);
    let made = world.store.create().await.unwrap();
    let chain = Arc::new(ChainDouble::new([]));
    let world = World::over(JournalDouble::new([]), Arc::clone(&chain)).await;
    let false_claim = Checkpoint { root: made.parent, height: h(0), ..made.clone() };
    let taken = world.store.take_in(vec![made.clone(), false_claim]).await.unwrap();
    assert_eq!(taken[0].result, CheckpointCheck::AboveHead { head: h(0) });
    assert!(taken[1].result.is_false());
    let listed = world.store.list().await.unwrap();
    assert_eq!(listed, [Checkpoint { verified: false, progress: None, ..made.clone() }]);
    // The checkpoint store ends before the chain comes there.
    let journal = Arc::clone(&world.journal);
    world.tree.shutdown(Duration::from_secs(1)).await.unwrap();
    chain.append(&(1..=40).map(|height| blocks().at(height)).collect::<Vec<_>>()).unwrap();
    let world = World::over(journal, chain).await;
    let claim = world.store.list().await.unwrap().remove(0);
    assert_eq!((claim.height, claim.kind, claim.verified), (h(30), MANUAL, true));
}

#[tokio::test(start_paused = true)]
async fn claims_are_settled_as_soon_as_the_chain_comes_there() {
    let mut world = World::new(JournalDouble::new([])).await;
    let claim = Checkpoint { kind: MANUAL, ..blocks().checkpoint(15) };
    let forged = Checkpoint { height: h(16), ..claim.clone() };
    let later = Checkpoint { kind: MANUAL, ..blocks().checkpoint(25) };
    world.store.take_in(vec![claim, forged, later]).await.unwrap();
    world.head(20);
    world.told().await;
    let kept = world.store.list().await.unwrap();
    let kept: Vec<_> = kept.iter().map(|kept| (kept.height.get(), kept.verified)).collect();
    assert_eq!(kept, [(15, true), (20, true), (25, false)]);
}

#[tokio::test(start_paused = true)]
async fn chain_that_was_set_back_gets_its_checkpoints_again_at_the_same_heights() {
    let mut world = World::new(JournalDouble::new([])).await;
    for head in [10, 20, 30] {
        world.head(head);
        assert_eq!(world.told().await, head);
    }
    world.chain.truncate_to(h(10)).unwrap();
    world.store.set_back(h(10)).unwrap();
    assert_eq!(world.told().await, 10, "the newest that is of the chain");
    // Those above are kept, and are no part of the chain.
    assert_eq!(world.kept().await, [(10, PERIODIC), (20, PERIODIC), (30, PERIODIC)]);
    let check = world.store.check().await.unwrap();
    let above = CheckpointCheck::AboveHead { head: h(10) };
    assert_eq!(check.checkpoints[2].result, above);
    assert_eq!(check.wrong(), 0, "nothing was lost: it was given up on purpose");
    for head in [20, 30] {
        world.head(head);
        assert_eq!(world.told().await, head);
    }
    let check = world.store.check().await.unwrap();
    let sound =
        |of: &CheckedCheckpoint| of.result == CheckpointCheck::Holds && of.checkpoint.verified;
    assert!(check.checkpoints.iter().all(sound), "{check:?}");
}

#[tokio::test(start_paused = true)]
async fn periodic_one_that_is_too_many_goes_also_while_it_is_a_claim() {
    let mut world = World::new(JournalDouble::new([])).await;
    for head in [10, 20, 30] {
        world.head(head);
        assert_eq!(world.told().await, head);
    }
    world.chain.truncate_to(h(5)).unwrap();
    world.store.set_back(h(5)).unwrap();
    assert!(world.store.list().await.unwrap().iter().all(|kept| !kept.verified));
    world.head(40);
    assert_eq!(world.told().await, 40);
    assert_eq!(world.kept().await, [(20, PERIODIC), (30, PERIODIC), (40, PERIODIC)]);
}

#[tokio::test(start_paused = true)]
async fn store_that_did_not_hear_that_the_chain_was_set_back_sees_it_by_the_next_head() {
    let mut world = World::new(JournalDouble::new([])).await;
    world.head(30);
    assert_eq!(world.told().await, 30);
    world.chain.truncate_to(h(8)).unwrap();
    world.head(9);
    assert_eq!(world.store.check().await.unwrap().wrong(), 0);
    for head in [15, 25] {
        world.head(head);
        assert_eq!(world.told().await, head / 10 * 10, "none above the head");
    }
    let check = world.store.check().await.unwrap();
    let holds = |height| {
        check
            .checkpoints
            .iter()
            .any(|of| (of.checkpoint.height, of.result) == (h(height), CheckpointCheck::Holds))
    };
    assert!(holds(20), "{check:?}");
}

#[tokio::test(start_paused = true)]
async fn store_that_did_not_hear_it_tells_the_newest_below_the_head_also_of_others_than_periodic() {
    let mut world = World::new(JournalDouble::new([])).await;
    for (head, told) in [(4, 4), (13, 13), (18, 18)] {
        world.chain.append(&above(&world, head)).unwrap();
        assert_eq!(world.store.create().await.unwrap().height, h(head));
        assert_eq!(world.told().await, told);
    }
    world.chain.truncate_to(h(6)).unwrap();
    world.head(9);
    assert_eq!(world.told().await, 4, "those at 13 and 18 are above the head");
    assert_eq!(world.store.check().await.unwrap().wrong(), 0);
    // A notice that is late is none of a chain that was set back.
    world.chain.append(&above(&world, 12)).unwrap();
    world.store.create().await.unwrap();
    assert_eq!(world.told().await, 12);
    world.store.head_moved(h(9)).unwrap();
    let kept = world.store.list().await.unwrap();
    let verified: Vec<_> =
        kept.iter().filter(|kept| kept.verified).map(|kept| kept.height.get()).collect();
    assert_eq!(verified, [4, 12]);
    assert!(world.coordinator.told.try_recv().is_err(), "nothing new is told");
}

#[tokio::test(start_paused = true)]
async fn what_is_above_is_given_up_before_the_chain_is_set_back() {
    let mut world = World::new(JournalDouble::new([])).await;
    for head in [10, 20, 30] {
        world.head(head);
        assert_eq!(world.told().await, head);
    }
    world.store.give_up_above(h(10)).await.unwrap();
    let kept = world.store.list().await.unwrap();
    assert_eq!(kept.iter().map(|kept| kept.verified).collect::<Vec<_>>(), [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn checkpoint_of_a_block_that_was_set_back_before_it_was_made_is_left_out() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new(JournalDouble::new([Write::Waits(wait)])).await;
    world.head(10);
    world.journal.begun.notified().await;
    world.head(20);
    world.chain.truncate_to(h(10)).unwrap();
    world.store.set_back(h(10)).unwrap();
    go_on.send(()).unwrap();
    assert_eq!(world.kept().await, [(10, PERIODIC)]);
    world.head(20);
    while world.told().await != 20 {}
    assert_eq!(world.kept().await, [(10, PERIODIC), (20, PERIODIC)]);
}
