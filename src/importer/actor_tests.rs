use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use supervisors::{ChildExit, ChildHandle, ChildSpec, SupervisorHandle};

use super::*;
use crate::{
    checkpoint::{Checkpoint, CheckpointMsg, RecoverError},
    coordinator::{CoordinatorMsg, SyncStatus},
    doubles::{ChainDouble, Recorded, Write, blocks, exit_of, recorded, tree},
    importer::ImporterHandle,
    ports::BlockSource as _,
    scheduler::SchedulerMsg,
    types::{BlockRoot, Height},
};

/// An importer over a chain double, among recording siblings.
struct World {
    chain: Arc<ChainDouble>,
    importer: ImporterHandle,
    child: ChildHandle<ImporterMsg>,
    scheduler: Recorded<SchedulerMsg>,
    coordinator: Recorded<CoordinatorMsg>,
    /// Whether the coordinator answers nothing.
    silent: Arc<AtomicBool>,
    checkpoints: Recorded<CheckpointMsg>,
    /// Above what checkpoints were given up, and where the chain ended then.
    given_up: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Whether the checkpoint store gives up nothing.
    keeps: Arc<AtomicBool>,
    gate: ImportGate,
    tree: SupervisorHandle,
}

fn h(number: u64) -> Height {
    Height::new(number)
}

fn io_error() -> ChainError {
    ChainError::Io { action: "writing".to_owned(), source: std::io::Error::other("disk full") }
}

/// A coordinator that answers what it is asked unless it is `silent`; all else comes out again.
fn answering(
    mut told: UnboundedReceiver<CoordinatorMsg>,
    silent: Arc<AtomicBool>,
) -> UnboundedReceiver<CoordinatorMsg> {
    let (rest, comes_out) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = told.recv().await {
            if let CoordinatorMsg::ReadStatus { reply } = message {
                if silent.load(Ordering::Relaxed) {
                    continue;
                }
                let genesis = blocks().genesis.root();
                let head = BlockRef { height: h(0), root: genesis };
                reply.send(SyncStatus::at_start(genesis, head)).unwrap();
            } else {
                // The test may have ended.
                let _ = rest.send(message);
            }
        }
    });
    comes_out
}

/// A checkpoint store that gives up what it is told to; all else comes out again.
fn giving_up(
    mut told: UnboundedReceiver<CheckpointMsg>,
    chain: Arc<ChainDouble>,
    given_up: Arc<Mutex<Vec<(u64, u64)>>>,
    keeps: Arc<AtomicBool>,
) -> UnboundedReceiver<CheckpointMsg> {
    let (rest, comes_out) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = told.recv().await {
            if let CheckpointMsg::GiveUpAbove { height, reply } = message {
                if keeps.load(Ordering::Relaxed) {
                    continue;
                }
                given_up.lock().unwrap().push((height.get(), chain.head().height.get()));
                reply.send(Ok(())).unwrap();
            } else {
                // The test may have ended.
                let _ = rest.send(message);
            }
        }
    });
    comes_out
}

fn not_next() -> ChainError {
    let block = BlockRef { height: h(1), root: BlockRoot::ZERO };
    ChainError::NotNext { head: block, offered: block }
}

impl World {
    async fn new(script: impl IntoIterator<Item = Write>, batch_blocks: usize) -> Self {
        let chain = Arc::new(ChainDouble::new(script));
        let scheduler = recorded("scheduler");
        let mut coordinator = recorded("coordinator");
        let mut checkpoints = recorded("checkpoints");
        let child = ChildHandle::new("importer");
        let gate = ImportGate::default();
        let args = ImporterArgs {
            chain: chain.clone(),
            gate: gate.clone(),
            batch_blocks,
            scheduler: SchedulerHandle::new(scheduler.handle.clone()),
            coordinator: CoordinatorHandle::new(coordinator.handle.clone()),
            checkpoints: CheckpointHandle::new(checkpoints.handle.clone()),
        };
        let siblings = [scheduler.spec.clone(), coordinator.spec.clone(), checkpoints.spec.clone()];
        let importer = ChildSpec::new(&child, move || (BlockImporter, args.clone()));
        let tree = tree(siblings.into_iter().chain([importer])).await;
        let importer = ImporterHandle::new(child.clone());
        let silent = Arc::<AtomicBool>::default();
        coordinator.told = answering(coordinator.told, Arc::clone(&silent));
        let given_up = Arc::<Mutex<Vec<_>>>::default();
        let keeps = Arc::<AtomicBool>::default();
        let (chained, noted) = (chain.clone(), Arc::clone(&given_up));
        checkpoints.told = giving_up(checkpoints.told, chained, noted, Arc::clone(&keeps));
        Self {
            silent,
            given_up,
            keeps,
            chain,
            importer,
            child,
            scheduler,
            coordinator,
            checkpoints,
            gate,
            tree,
        }
    }

    fn import(&self, first: u64, last: u64) {
        self.importer.import(blocks().segment(first, last)).unwrap();
    }

    /// The next message to the scheduler: `started at`, `imported to`, or `refused at`.
    async fn told(&mut self) -> (&'static str, u64) {
        match self.scheduler.told.recv().await.unwrap() {
            SchedulerMsg::ImporterStarted { head } => ("started", head.get()),
            SchedulerMsg::Imported { head } => ("imported", head.get()),
            SchedulerMsg::ImportRefused { refusal } => ("refused", refusal.at.get()),
            SchedulerMsg::SetBack { head } => ("set back", head.get()),
            SchedulerMsg::SetWindow { .. }
            | SchedulerMsg::CloseWindow
            | SchedulerMsg::UsablePeers { .. }
            | SchedulerMsg::Fetch { .. }
            | SchedulerMsg::Tick
            | SchedulerMsg::ReadFront { .. }
            | SchedulerMsg::ReadGauge { .. }
            | SchedulerMsg::Vital(_) => panic!("not from the importer"),
        }
    }

    async fn told_in_turn(&mut self, expected: &[(&str, u64)]) {
        for expected in expected {
            assert_eq!(self.told().await, *expected);
        }
    }

    /// Asks for the chain to be set back to the block at `height`.
    fn set_back(&self, height: u64) -> JoinHandle<Result<SetBack, RecoverError>> {
        let (importer, kept) = (self.importer.clone(), vec![blocks().checkpoint(height)]);
        tokio::spawn(async move { importer.set_back(h(height), kept).await })
    }

    /// Returns while the coordinator is down.
    async fn fell_coordinator(&self) {
        assert!(self.coordinator.handle.kill());
        while self.coordinator.handle.is_running() {
            tokio::task::yield_now().await;
        }
    }

    fn written(&self) -> Vec<u64> {
        self.chain.written().concat().into_iter().map(Height::get).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn imports_in_batches_and_tells_everybody() {
    let mut world = World::new([], 4).await;
    world.import(1, 6);
    world.import(7, 10);
    world.told_in_turn(&[("started", 0), ("imported", 4), ("imported", 8), ("imported", 10)]).await;
    assert_eq!(world.written(), (1..=10).collect::<Vec<_>>());
    assert_eq!(world.importer.head().await.unwrap(), world.chain.head());
    let read = world.coordinator.told.recv().await.unwrap();
    assert!(matches!(read, CoordinatorMsg::HeadRead { head } if head.height == h(0)));
    let first = world.coordinator.told.recv().await.unwrap();
    let CoordinatorMsg::Imported { head, blocks: count, bytes } = first else { panic!() };
    let size: u64 = (1..=4).map(|height| blocks().raw(height).len() as u64).sum();
    assert_eq!((head, count, bytes), (blocks().at(4).block_ref(), 4, size));
    let moved = world.checkpoints.told.recv().await.unwrap();
    assert!(matches!(moved, CheckpointMsg::HeadMoved { head } if head == h(4)));
}

#[tokio::test(start_paused = true)]
async fn segments_sent_twice_are_imported_once() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.import(1, 6);
    world.import(4, 9);
    world.told_in_turn(&[("started", 0), ("imported", 6), ("imported", 9)]).await;
    assert_eq!(world.written(), (1..=9).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn gap_makes_the_importer_say_where_it_is() {
    let mut world = World::new([], 100).await;
    world.import(3, 6);
    world.told_in_turn(&[("started", 0), ("started", 0)]).await;
    assert!(world.written().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refusal_is_told_after_what_came_before_it_is_imported() {
    let mut world = World::new([], 100).await;
    let fork = blocks().verify(blocks().fork(3));
    let mixed = vec![blocks().at(1), blocks().at(2), fork, blocks().at(4)];
    world.importer.import(blocks().segment_of(1, mixed)).unwrap();
    world.told_in_turn(&[("started", 0), ("imported", 3), ("refused", 4)]).await;
    loop {
        let told = world.coordinator.told.recv().await.unwrap();
        if let CoordinatorMsg::ImportRefused { refusal } = told {
            assert_eq!(refusal.at, h(4));
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scheduler_that_started_is_told_the_head_and_its_forerunners_segments_are_dropped() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new([Write::Waits(wait)], 100).await;
    world.import(1, 3);
    world.chain.begun.notified().await;
    world.import(4, 6);
    world.importer.scheduler_started().unwrap();
    world.told_in_turn(&[("started", 0), ("started", 0)]).await;
    go_on.send(()).unwrap();
    world.told_in_turn(&[("imported", 3)]).await;
    assert_eq!(world.importer.head().await.unwrap().height, h(3));
    assert_eq!(world.written(), [1, 2, 3], "what was queued before is dropped");
}

#[tokio::test(start_paused = true)]
async fn store_failure_ends_the_actor_with_its_reason() {
    let mut world = World::new([Write::Fails(io_error())], 100).await;
    let mut reports = world.tree.reports();
    world.import(1, 3);
    let exit = exit_of("importer", &mut reports).await;
    let failure = exit.downcast_ref::<StoreFailure>().expect("the type survives");
    assert!(matches!(failure.0, ChainError::Io { .. }), "{exit:?}");
    assert!(matches!(exit, ChildExit::Failed(_)));
    world.told_in_turn(&[("started", 0)]).await;
}

#[tokio::test(start_paused = true)]
async fn lost_race_for_the_head_ends_the_actor_with_not_next_and_it_starts_again() {
    let mut world = World::new([Write::Fails(not_next())], 100).await;
    let mut reports = world.tree.reports();
    world.import(1, 3);
    let exit = exit_of("importer", &mut reports).await;
    let failure = exit.downcast_ref::<StoreFailure>().unwrap();
    assert!(matches!(failure.0, ChainError::NotNext { .. }));
    world.told_in_turn(&[("started", 0), ("started", 0)]).await;
    world.import(1, 3);
    world.told_in_turn(&[("imported", 3)]).await;
    assert_eq!(world.written(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn store_that_panics_ends_the_actor_and_does_not_hang_it() {
    let world = World::new([Write::Panics], 100).await;
    let mut reports = world.tree.reports();
    world.import(1, 3);
    let exit = exit_of("importer", &mut reports).await;
    let failure = exit.downcast_ref::<StoreFailure>().expect("the type survives");
    assert!(matches!(failure.0, ChainError::Poisoned), "what is written is unknown: {exit:?}");
}

/// No virtual time: it stands still while the write waits.
#[tokio::test]
async fn kill_in_the_middle_of_a_write_imports_nothing_twice() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new([Write::Waits(wait)], 100).await;
    let mut reports = world.tree.reports();
    world.import(1, 3);
    world.chain.begun.notified().await;
    assert!(world.child.kill());
    assert!(matches!(exit_of("importer", &mut reports).await, ChildExit::Killed));
    go_on.send(()).unwrap();
    // The next one waits for the write of its forerunner, and sees what it wrote.
    world.told_in_turn(&[("started", 0), ("started", 3)]).await;
    world.import(1, 5);
    world.told_in_turn(&[("imported", 5)]).await;
    assert_eq!(world.written(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_the_write_under_way() {
    let (go_on, wait) = mpsc::channel();
    let world = World::new([Write::Waits(wait)], 100).await;
    world.import(1, 3);
    world.chain.begun.notified().await;
    let (tree, chain) = (world.tree.clone(), Arc::clone(&world.chain));
    let stopping =
        tokio::spawn(async move { tree.shutdown(std::time::Duration::from_secs(4)).await });
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    go_on.send(()).unwrap();
    stopping.await.unwrap().unwrap();
    assert_eq!(chain.head(), blocks().at(3).block_ref());
}

#[tokio::test(start_paused = true)]
async fn chain_is_set_back_and_everybody_is_told_and_import_goes_on_from_there() {
    let mut world = World::new([], 100).await;
    world.import(1, 9);
    world.told_in_turn(&[("started", 0), ("imported", 9)]).await;
    let done = world.set_back(4).await.unwrap().unwrap();
    let (from, to) = (blocks().at(9).block_ref(), blocks().at(4).block_ref());
    assert_eq!((done, world.chain.head()), (SetBack { from, to }, to));
    assert_eq!(world.importer.head().await.unwrap(), to);
    world.told_in_turn(&[("set back", 4)]).await;
    let mut told = Vec::new();
    while let Ok(next) = world.coordinator.told.try_recv() {
        told.push(next);
    }
    // The gate is closed before, the rest is done after.
    let [.., CoordinatorMsg::SettingBack, CoordinatorMsg::SetBack { head }] = &told[..] else {
        panic!("{} messages", told.len())
    };
    assert_eq!(*head, to);
    let mut told = None;
    while let Ok(next) = world.checkpoints.told.try_recv() {
        told = Some(next);
    }
    assert!(matches!(told, Some(CheckpointMsg::SetBack { head }) if head == h(4)));
    assert_eq!(*world.given_up.lock().unwrap(), [(4, 9)], "before the cut");
    // What is late from before begins above the head, or links to it like any other.
    world.import(10, 12);
    world.told_in_turn(&[("started", 4)]).await;
    world.import(3, 6);
    world.told_in_turn(&[("imported", 6)]).await;
    assert_eq!(world.chain.written(), [(1..=9).map(h).collect(), vec![h(5), h(6)]]);
}

#[tokio::test(start_paused = true)]
async fn chain_is_set_back_after_the_write_under_way_and_what_waited_behind_it_is_dropped() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new([Write::Waits(wait)], 100).await;
    world.import(1, 6);
    world.chain.begun.notified().await;
    world.import(7, 12);
    let (first, second) = (world.set_back(4), world.set_back(2));
    tokio::task::yield_now().await;
    assert!(!first.is_finished());
    go_on.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().to.height, h(4));
    assert_eq!(second.await.unwrap().unwrap().to.height, h(2), "one after the other");
    world.told_in_turn(&[("started", 0), ("imported", 6), ("set back", 4), ("set back", 2)]).await;
    assert_eq!(world.chain.head(), blocks().at(2).block_ref());
    assert_eq!(world.written(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn checkpoint_above_the_head_or_of_another_block_is_refused_and_import_goes_on() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    for (height, kept) in [
        (9, blocks().checkpoint(9)),
        (4, Checkpoint { root: BlockRoot::ZERO, ..blocks().checkpoint(4) }),
        (5, blocks().checkpoint(4)),
    ] {
        let refused = world.importer.set_back(h(height), vec![kept]).await.unwrap_err();
        assert!(matches!(refused, RecoverError::Refused(_)), "{refused:?}");
    }
    world.import(7, 8);
    world.told_in_turn(&[("imported", 8)]).await;
    let mut heads = 0;
    while let Ok(told) = world.coordinator.told.try_recv() {
        assert!(!matches!(told, CoordinatorMsg::SettingBack), "production went on");
        heads += usize::from(matches!(told, CoordinatorMsg::HeadRead { .. }));
    }
    // A coordinator that asked for the head meanwhile was told to wait for the end of it.
    assert_eq!(heads, 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_set_back_while_production_cannot_be_stopped() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    world.silent.store(true, Ordering::Relaxed);
    let refused = world.set_back(2).await.unwrap().unwrap_err();
    assert!(matches!(refused, RecoverError::Refused(SetBackRefused::Produces)), "{refused:?}");
    assert_eq!(world.chain.head(), blocks().at(6).block_ref());
    world.silent.store(false, Ordering::Relaxed);
    assert_eq!(world.set_back(2).await.unwrap().unwrap().to.height, h(2));
}

#[tokio::test(start_paused = true)]
async fn coordinator_that_is_down_is_waited_for_before_the_chain_is_set_back() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    while world.coordinator.told.try_recv().is_ok() {}
    // It comes back, and hangs: the gate may be as it was left.
    world.silent.store(true, Ordering::Relaxed);
    world.fell_coordinator().await;
    let refused = world.set_back(2).await.unwrap().unwrap_err();
    assert!(matches!(refused, RecoverError::Refused(SetBackRefused::Produces)), "{refused:?}");
    assert_eq!(world.chain.head(), blocks().at(6).block_ref());
    while world.coordinator.told.try_recv().is_ok() {}

    world.silent.store(false, Ordering::Relaxed);
    world.fell_coordinator().await;
    assert_eq!(world.set_back(2).await.unwrap().unwrap().to.height, h(2));
    let first = world.coordinator.told.recv().await.unwrap();
    assert!(matches!(first, CoordinatorMsg::SettingBack), "the next one has closed the gate");
    let then = world.coordinator.told.recv().await.unwrap();
    assert!(matches!(then, CoordinatorMsg::SetBack { .. }), "and then heard of the lower head");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_set_back_while_the_checkpoints_above_cannot_be_given_up() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    world.keeps.store(true, Ordering::Relaxed);
    let refused = world.set_back(2).await.unwrap().unwrap_err();
    assert!(matches!(refused, RecoverError::Refused(SetBackRefused::NotGivenUp)), "{refused:?}");
    assert_eq!(world.chain.head(), blocks().at(6).block_ref());
    world.keeps.store(false, Ordering::Relaxed);
    assert_eq!(world.set_back(2).await.unwrap().unwrap().to.height, h(2));
}

#[tokio::test(start_paused = true)]
async fn chain_is_set_back_while_there_is_no_room_for_blocks() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    world.gate.set_open(false);
    assert_eq!(world.set_back(2).await.unwrap().unwrap().to.height, h(2));
}

#[tokio::test(start_paused = true)]
async fn store_that_fails_to_set_the_chain_back_ends_the_actor_and_the_caller_hears_of_it() {
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    let mut reports = world.tree.reports();
    world.chain.then(Write::Fails(io_error()));
    let asked = world.set_back(2);
    let exit = exit_of("importer", &mut reports).await;
    assert!(exit.downcast_ref::<StoreFailure>().is_some(), "{exit:?}");
    assert!(matches!(asked.await.unwrap(), Err(RecoverError::Unanswered(_))));
}

/// No virtual time: it stands still while the write waits.
#[tokio::test]
async fn importer_killed_while_it_sets_the_chain_back_is_followed_by_one_that_tells_the_lower_head()
{
    let mut world = World::new([], 100).await;
    world.import(1, 6);
    world.told_in_turn(&[("started", 0), ("imported", 6)]).await;
    world.chain.begun.notified().await;
    let (go_on, wait) = mpsc::channel();
    world.chain.then(Write::Waits(wait));
    let asked = world.set_back(2);
    world.chain.begun.notified().await;
    assert!(world.child.kill());
    go_on.send(()).unwrap();
    assert!(matches!(asked.await.unwrap(), Err(RecoverError::Unanswered(_))));
    world.told_in_turn(&[("started", 2)]).await;
    world.import(3, 4);
    world.told_in_turn(&[("imported", 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn coordinator_that_started_is_told_the_head_once_no_write_moves_it() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new([Write::Waits(wait)], 100).await;
    world.importer.coordinator_started().unwrap();
    world.import(1, 3);
    world.chain.begun.notified().await;
    world.importer.coordinator_started().unwrap();
    world.importer.head().await.unwrap();
    go_on.send(()).unwrap();
    world.told_in_turn(&[("started", 0), ("imported", 3)]).await;
    world.importer.coordinator_started().unwrap();
    let mut heads = Vec::new();
    while heads.len() < 4 {
        let told = world.coordinator.told.recv().await.unwrap();
        if let CoordinatorMsg::HeadRead { head } = told {
            heads.push(("read", head.height));
        } else if let CoordinatorMsg::Imported { head, .. } = told {
            heads.push(("imported", head.height));
        }
    }
    let expected = [("read", h(0)), ("read", h(0)), ("imported", h(3)), ("read", h(3))];
    assert_eq!(heads, expected);
}
