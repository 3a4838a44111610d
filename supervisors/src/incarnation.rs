//! The life of one incarnation: started, attended until it has ended, stopped when asked.
//!
//! Owns the awaiting that a supervisor must not do inside its handlers. An incarnation holds the
//! gate of its slot from before `pre_start` until its task, and below a nested supervisor every
//! task, has ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorCell, Message, SpawnErr};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{sleep, timeout};

use crate::exit::{ChildError, ChildExit};
use crate::handle::{Address, Slot};
use crate::policy::Heartbeat;
use crate::report::{Report, Reports};
use crate::spec::{ChildSpec, Watch};
use crate::vital::Vital;

/// Time in which a killed actor should have ended. Unit: time. Source: a kill takes effect at the
/// next await point, microseconds away in a healthy handler. Too low: a busy machine makes false
/// `Stuck` reports; too high: a blocked thread is told late.
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// The least pause between two looks for a sign of life. Unit: time. Source: the resolution of
/// tokio's timers. Too low: without any pause a child that hangs would be looked at for ever. Too
/// high: a heartbeat is slower than it was chosen.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(1);

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A spawned actor, without its types.
pub(crate) struct Launched {
    pub(crate) cell: ActorCell,
    pub(crate) join: JoinHandle<()>,
}

/// Starts the incarnations of one child.
pub(crate) trait Launch: Send + Sync {
    fn address(&self) -> &dyn Address;

    /// Spawns an incarnation below `parent` and lets it into the slot.
    fn launch(
        &self,
        incarnation: u64,
        parent: Option<ActorCell>,
    ) -> BoxFuture<'_, Result<Launched, ChildError>>;

    /// Asks this incarnation to end in order. It may have ended, and the next one be up.
    fn ask_stop(&self, live: &Live);

    /// The children below, if this is a supervisor.
    fn children(&self) -> &[ChildSpec];
}

type Factory<A> = Box<dyn Fn() -> (A, <A as Actor>::Arguments) + Send + Sync>;

/// Starts a plain actor.
pub(crate) struct ActorLauncher<A: Actor> {
    slot: Arc<Slot<A::Msg>>,
    factory: Factory<A>,
}

impl<A: Actor> ActorLauncher<A> {
    pub(crate) fn new(slot: Arc<Slot<A::Msg>>, factory: Factory<A>) -> Self {
        Self { slot, factory }
    }
}

impl<A: Actor> Launch for ActorLauncher<A> {
    fn address(&self) -> &dyn Address {
        &*self.slot
    }

    fn launch(
        &self,
        incarnation: u64,
        parent: Option<ActorCell>,
    ) -> BoxFuture<'_, Result<Launched, ChildError>> {
        Box::pin(async move {
            let made = catch_unwind(AssertUnwindSafe(|| (self.factory)()));
            let (actor, arguments) =
                made.map_err(|_| ChildError::from(Box::from("the factory panicked")))?;
            spawn(&self.slot, incarnation, actor, arguments, parent).await
        })
    }

    fn ask_stop(&self, live: &Live) {
        // What is queued would be lost: better that senders hear of it now.
        self.slot.leave(live.incarnation);
        live.cell.stop(None);
    }

    fn children(&self) -> &[ChildSpec] {
        &[]
    }
}

/// Spawns an unnamed actor and lets it into `slot`.
pub(crate) async fn spawn<A: Actor>(
    slot: &Slot<A::Msg>,
    incarnation: u64,
    actor: A,
    arguments: A::Arguments,
    parent: Option<ActorCell>,
) -> Result<Launched, ChildError>
where
    A::Msg: Message,
{
    let spawned = match parent {
        Some(parent) => A::spawn_linked(None, actor, arguments, parent).await,
        None => A::spawn(None, actor, arguments).await,
    };
    match spawned {
        Ok((actor, join)) => {
            let cell = actor.get_cell();
            slot.enter(incarnation, actor);
            Ok(Launched { cell, join })
        }
        Err(SpawnErr::StartupFailed(error)) => Err(error.into()),
        Err(error @ (SpawnErr::ActorAlreadyStarted | SpawnErr::ActorAlreadyRegistered(_))) => {
            Err(ChildError::from(Box::<dyn std::error::Error + Send + Sync>::from(error)))
        }
    }
}

/// A running incarnation, as its supervisor knows it.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) incarnation: u64,
    pub(crate) cell: ActorCell,
    /// Closes when the incarnation has ended.
    over: watch::Receiver<()>,
}

impl Live {
    /// Waits until the incarnation has ended, and everything below it.
    pub(crate) async fn ended(&self) {
        let mut over = self.over.clone();
        while over.changed().await.is_ok() {}
    }
}

/// A running incarnation whose end nobody attends yet.
pub(crate) struct Newborn {
    pub(crate) live: Live,
    join: JoinHandle<()>,
    gate: OwnedMutexGuard<()>,
    over: watch::Sender<()>,
}

/// Starts an incarnation once the one before it has ended. Dropping the future gives the start up.
pub(crate) async fn launch(
    child: &ChildSpec,
    incarnation: u64,
    parent: Option<ActorCell>,
) -> Result<Newborn, ChildExit> {
    let start = async {
        let gate = Arc::clone(child.launcher.address().gate()).lock_owned().await;
        if let Some(ready) = &child.ready {
            ready().await;
        }
        let Launched { cell, join } = child.launcher.launch(incarnation, parent).await?;
        let (over, ended) = watch::channel(());
        Ok(Newborn { live: Live { incarnation, cell, over: ended }, join, gate, over })
    };
    match timeout(child.start_within, start).await {
        Ok(Ok(newborn)) => Ok(newborn),
        Ok(Err(error)) => Err(ChildExit::StartFailed(error)),
        Err(_) => Err(ChildExit::StartTimedOut(child.start_within)),
    }
}

impl Newborn {
    /// Waits for the end of the incarnation and of everything below it, then frees its slot.
    pub(crate) async fn attend(self, child: &ChildSpec) {
        // ractor catches the panics of actors; an error here means the runtime is going down, and
        // the task with it.
        let _ = self.join.await;
        child.launcher.address().leave(self.live.incarnation);
        for below in child.launcher.children() {
            settled(below).await;
        }
        drop(self.gate);
        drop(self.over);
    }
}

/// Waits until no incarnation of the child or below it is left.
pub(crate) fn settled(child: &ChildSpec) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        drop(child.launcher.address().gate().lock().await);
        for below in child.launcher.children() {
            settled(below).await;
        }
    })
}

/// Ids of the children, here and below, that still run.
pub(crate) fn unsettled(children: &[ChildSpec]) -> Vec<&'static str> {
    let mut ids = Vec::new();
    for child in children {
        if child.launcher.address().gate().try_lock().is_err() {
            ids.push(child.id());
        }
        ids.extend(unsettled(child.launcher.children()));
    }
    ids
}

/// Asks an incarnation for a sign of life; whether one came in time. Looks for it at the pace of
/// the heartbeat. Never comes back if the incarnation has ended, which is told in another way.
pub(crate) async fn sign_of_life(watch: &Watch, live: &Live) -> bool {
    let Heartbeat { every, within } = watch.heartbeat;
    let (vital, question) = Vital::ask();
    (watch.send)(&live.cell, vital);
    let mut left = within;
    while !left.is_zero() {
        let pause = every.max(LOOK_PAUSE_MIN).min(left);
        sleep(pause).await;
        if question.is_answered() {
            return true;
        }
        left -= pause;
    }
    // The question was dropped: by an actor that ended, or by one that handles its messages and
    // does not answer them.
    if question.is_dropped() && timeout(within, live.ended()).await.is_ok() {
        std::future::pending().await
    }
    false
}

/// Tells everyone who sends to these children, here and below, that none will come back.
pub(crate) fn close(children: &[ChildSpec]) {
    for child in children {
        child.launcher.address().close();
        close(child.launcher.children());
    }
}

/// Ends an incarnation: asks, kills when the grace is over, and waits until it is gone.
pub(crate) async fn stop(child: &ChildSpec, live: &Live, reports: &Reports) {
    let (id, incarnation, grace) = (child.id(), live.incarnation, child.shutdown.grace);
    child.launcher.ask_stop(live);
    if timeout(grace, live.ended()).await.is_ok() {
        return;
    }
    reports.publish(Report::GraceExceeded { id, incarnation, grace });
    kill(child, live, reports).await;
}

/// Kills an incarnation, and waits until it is gone.
pub(crate) async fn kill(child: &ChildSpec, live: &Live, reports: &Reports) {
    let (id, incarnation) = (child.id(), live.incarnation);
    // What is queued is lost: better that senders hear of it now.
    child.launcher.address().leave(incarnation);
    live.cell.kill();
    if timeout(KILL_PATIENCE, live.ended()).await.is_err() {
        reports.publish(Report::Stuck { id, incarnation });
        live.ended().await;
    }
}
