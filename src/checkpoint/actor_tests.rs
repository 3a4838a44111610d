use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use supervisors::{ChildExit, ChildHandle, ChildSpec, SupervisorHandle};
use tokio::sync::Notify;

use super::*;
use crate::{
    adapters::memory::MemoryJournal,
    checkpoint::{CheckpointError, CheckpointHandle},
    coordinator::CoordinatorMsg,
    doubles::{ChainDouble, Recorded, blocks, exit_of, recorded, tree},
    ports::SystemClock,
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

    fn remove_checkpoint(&self, height: Height) -> Result<(), ChainError> {
        self.inner.remove_checkpoint(height)
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
    store: CheckpointHandle,
    coordinator: Recorded<CoordinatorMsg>,
    tree: SupervisorHandle,
}

fn h(number: u64) -> Height {
    Height::new(number)
}

impl World {
    async fn new(journal: Arc<JournalDouble>) -> Self {
        let chain = Arc::new(ChainDouble::new([]));
        let coordinator = recorded("coordinator");
        let child = ChildHandle::new("checkpoints");
        let args = CheckpointArgs {
            settings: CheckpointSettings { interval_blocks: 10, kept_max: 3 },
            journal: journal.clone(),
            chain: chain.clone(),
            clock: Arc::new(SystemClock::start()),
            coordinator: CoordinatorHandle::new(coordinator.handle.clone()),
        };
        let spec = ChildSpec::new(&child, move || (CheckpointStore, args.clone()));
        let tree = tree([coordinator.spec.clone(), spec]).await;
        Self { journal, chain, store: CheckpointHandle::new(child), coordinator, tree }
    }

    /// Imports up to `height` and says so.
    fn head(&self, height: u64) {
        let from = self.chain.tip().unwrap().height.get() + 1;
        let more: Vec<_> = (from..=height).map(|height| blocks().at(height)).collect();
        self.chain.append(&more).unwrap();
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
async fn checkpoint_made_by_hand_at_a_multiple_is_not_replaced() {
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
    let mut second = World::new(journal).await;
    assert_eq!(second.told().await, 20);
    second.head(29);
    assert_eq!(second.store.list().await.unwrap(), made);
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
    assert_eq!(kept.iter().map(|c| c.height.get()).collect::<Vec<_>>(), [10, 20]);
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
    let CheckpointError::Journal(ChainError::Io { .. }) = failure else { panic!("{failure:?}") };
}

#[tokio::test(start_paused = true)]
async fn periodic_checkpoint_above_the_chain_ends_the_actor() {
    let world = World::new(JournalDouble::new([])).await;
    let mut reports = world.tree.reports();
    world.store.head_moved(h(10)).unwrap();
    let exit = exit_of("checkpoints", &mut reports).await;
    let failure = exit.downcast_ref::<JournalFailure>().unwrap();
    assert!(matches!(failure.0, ChainError::OutOfRange { .. }));
}
