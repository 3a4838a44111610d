//! One run: a node from start to shutdown, faults first, then none, and what came of it.

use std::{sync::Arc, time::Duration};

use alys_sync::{
    adapters::memory::MemoryChain,
    coordinator::{Phase, SyncStatus},
    node::{Node, NodeError, Ports},
    ports::{Chain as _, Compute, InlineCompute},
    tree::Child,
};
use supervisors::{Report, ReportStream};
use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    fixture::Fixture,
    invariants::{Broken, Facts, check_all},
    plan::{Kill, Plan},
    trace::{Event, PeerIndex, Stamped, Trace, hash},
    world::{
        LossyCompute, RecordingChain, RecordingJournal, SeededEntropy, SimPeer, SimStarter,
        StoreFault, Turnstile, VirtualClock, World,
    },
};

/// How long a kill waits for its height before it is done anyway. Unit: virtual time. Too low:
/// kills of slow runs pile up at the start. Too high: a stuck run lasts longer.
const KILL_WAIT_MAX: Duration = Duration::from_secs(15);

/// How long a sync may take once all faults are over. Unit: virtual time. Source: the longest
/// pauses of a healthy node (a peer set back for 15 s, a failed sync that tries again after 60 s)
/// one after the other. Too low: alarms that are none. Too high: a stuck run is found later.
const HEALED_SYNC_MAX: Duration = Duration::from_secs(120);

/// How often the run looks at the node's status. Unit: virtual time. Too low: idle work. Too high:
/// kills cluster on few moments.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Between the sync and the shutdown: a child killed last has this long to come back. Unit: virtual
/// time, more than a child is allowed.
const LINGER: Duration = Duration::from_millis(500);

/// How long probes may hold memory after the sync. Unit: virtual time.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// How long children may take to stop. Unit: virtual time.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// After the shutdown, timers of stopped actors have this long to notice. Unit: virtual time.
const TIMERS_END: Duration = Duration::from_secs(1);

/// A bug that is put into a run on purpose, to see that it is found. See `VALIDATION.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The store is broken.
    Store(StoreFault),
    /// Verification keeps one segment for ever, and with it the permit.
    LostVerification {
        /// How many jobs run before it.
        jobs_before: u32,
    },
    /// The oracle takes this peer for honest, whatever it does.
    TakenForHonest(PeerIndex),
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What the run was.
    pub plan: Plan,
    /// Everything that happened.
    pub events: Vec<Stamped>,
    /// The hash of it.
    pub hash: String,
    /// What should not have happened; empty when all is well.
    pub broken: Vec<Broken>,
}

impl Outcome {
    /// When the node had synced everything. Unit: virtual time. `None` if it never did.
    pub fn synced_at(&self) -> Option<Duration> {
        let synced = |stamped: &&Stamped| matches!(stamped.event, Event::Synced { .. });
        self.events.iter().find(synced).map(|stamped| stamped.at)
    }
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no runtime.
    #[error("the runtime does not start")]
    Runtime(#[from] std::io::Error),
    /// The node did not start.
    #[error("the node does not start")]
    Node(#[from] NodeError),
}

/// Runs `plan` on the chain of `fixture` and checks all invariants.
///
/// # Errors
/// [`RunError`], when there is nothing to check.
pub fn run(plan: &Plan, fixture: &Arc<Fixture>, plant: Option<Plant>) -> Result<Outcome, RunError> {
    let turnstile = Turnstile::default();
    let about_to_sleep = turnstile.clone();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // Store calls happen in the order in which they were made.
        .max_blocking_threads(1)
        .on_thread_park(move || about_to_sleep.about_to_sleep())
        .build()?;
    let events = runtime.block_on(drive(plan, fixture, plant, &turnstile));
    turnstile.open();
    drop(runtime);
    let events = events?;
    let taken_for_honest = match plant {
        Some(Plant::TakenForHonest(peer)) => Some(peer),
        Some(Plant::Store(_) | Plant::LostVerification { .. }) | None => None,
    };
    let facts = Facts::of(plan, fixture.head, taken_for_honest);
    let broken = check_all(&facts, &events);
    Ok(Outcome { plan: plan.clone(), hash: hash(&events), events, broken })
}

/// A node in its world.
struct Stage {
    node: Node,
    world: Arc<World>,
    trace: Trace,
    watchers: [JoinHandle<()>; 2],
}

async fn drive(
    plan: &Plan,
    fixture: &Arc<Fixture>,
    plant: Option<Plant>,
    turnstile: &Turnstile,
) -> Result<Vec<Stamped>, RunError> {
    let stage = set(plan, fixture, plant, turnstile).await?;
    if let Some(child) = plan.killed_before_start {
        kill(&stage, child, false);
    }
    // A coordinator that is restarting does not answer: who commands tries again.
    while stage.node.start_sync(None).await.is_err() {
        sleep(LOOK_EVERY).await;
    }
    for planned in &plan.kills {
        strike(&stage, planned).await;
    }
    sleep(plan.faults_for.saturating_sub(stage.trace.now())).await;
    stage.world.heal();
    let done = |status: &SyncStatus| {
        matches!(status.phase, Phase::Synced { .. }) && status.current_height == fixture.head.height
    };
    let synced = until(&stage.node, HEALED_SYNC_MAX, done).await;
    let status = stage.node.status();
    let head = alys_sync::types::BlockRef { height: status.current_height, root: status.head };
    stage.trace.record(if synced { Event::Synced { head } } else { Event::GaveUp { head } });
    Ok(end(stage).await)
}

async fn set(
    plan: &Plan,
    fixture: &Arc<Fixture>,
    plant: Option<Plant>,
    turnstile: &Turnstile,
) -> Result<Stage, NodeError> {
    let trace = Trace::start();
    let peers = plan.peers.iter().enumerate();
    let peers: Vec<_> =
        peers.map(|(at, peer)| SimPeer::new(PeerIndex(at), peer, plan.healed_link)).collect();
    let mut config = plan.config.clone();
    config.peers.bootnodes = peers.iter().map(|peer| peer.address.clone()).collect();
    let world = Arc::new(World::new(Arc::clone(fixture), peers, trace.clone()));
    let mut store_fault = None;
    let mut compute: Arc<dyn Compute> = Arc::new(InlineCompute);
    match plant {
        Some(Plant::Store(fault)) => store_fault = Some(fault),
        Some(Plant::LostVerification { jobs_before }) => {
            compute = Arc::new(LossyCompute::keeping_the_job_after(jobs_before));
        }
        Some(Plant::TakenForHonest(_)) | None => {}
    }
    let chain = MemoryChain::new(&fixture.genesis);
    let (recorder, gate) = (trace.clone(), turnstile.clone());
    let chain = RecordingChain::new(chain, recorder, gate, plan.write_takes, store_fault);
    debug_assert_eq!(chain.genesis(), fixture.genesis.root());
    let ports = Ports {
        spec: Arc::new(fixture.verifier.spec().clone()),
        verifier: Arc::clone(&fixture.verifier),
        chain: Arc::new(chain),
        journal: Arc::new(RecordingJournal::new(turnstile.clone())),
        network: Arc::new(SimStarter::new(Arc::clone(&world))),
        compute,
        entropy: Arc::new(SeededEntropy::new(plan.config.seed)),
        clock: Arc::new(VirtualClock::start()),
    };
    let node = Node::start(config, ports).await?;
    let watchers = [
        tokio::spawn(follow_reports(node.reports(), trace.clone())),
        tokio::spawn(follow_status(node.watch(), trace.clone())),
    ];
    Ok(Stage { node, world, trace, watchers })
}

async fn follow_reports(mut reports: ReportStream, trace: Trace) {
    while let Some(report) = reports.next().await {
        match report {
            Report::Started { id: child, incarnation } => {
                trace.record(Event::Started { child, incarnation });
            }
            Report::Exited { id: child, incarnation, .. } => {
                trace.record(Event::Exited { child, incarnation });
            }
            Report::RestartScheduled { id: child, restarts_in_period: in_period, .. } => {
                trace.record(Event::Restarting { child, in_period });
            }
            Report::Escalated(_) | Report::Lagged { .. } => trace.record(Event::TreeEnded),
            // The tree is told to stop in the end; whether it ended before shows in the status.
            Report::GraceExceeded { .. }
            | Report::Stuck { .. }
            | Report::LeftDown { .. }
            | Report::Stopped { .. } => {}
        }
    }
}

async fn follow_status(mut status: watch::Receiver<SyncStatus>, trace: Trace) {
    let mut last = None;
    while status.changed().await.is_ok() {
        let shown = {
            let status = status.borrow_and_update();
            (status.phase.name(), status.current_height, status.usable_peers)
        };
        if last != Some(shown) {
            last = Some(shown);
            let (phase, height, usable_peers) = shown;
            trace.record(Event::Status { phase, height, usable_peers });
        }
    }
}

/// Waits until the status is as wanted; whether it came to that. Two tasks that wait for the same
/// watch channel would be woken in an order that differs from run to run.
async fn until(node: &Node, within: Duration, wanted: impl Fn(&SyncStatus) -> bool) -> bool {
    let begun = Instant::now();
    while !wanted(&node.status()) {
        if begun.elapsed() >= within {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
    true
}

async fn strike(stage: &Stage, planned: &Kill) {
    // A height that is not reached in time does not save the child.
    let _ =
        until(&stage.node, KILL_WAIT_MAX, |status| status.current_height >= planned.height).await;
    sleep(planned.pause).await;
    // A scheduler that is down has nothing in flight.
    let busy = stage.node.window().await.is_ok_and(|window| {
        window.in_flight_blocks + window.verifying_blocks + window.held_blocks > 0
    });
    kill(stage, planned.child, busy);
}

fn kill(stage: &Stage, child: Child, busy: bool) {
    let incarnation = stage.node.incarnation(child);
    if stage.node.kill(child) {
        stage.trace.record(Event::Killed { child, incarnation, busy });
    } else {
        stage.trace.record(Event::KillMissed { child });
    }
}

async fn end(stage: Stage) -> Vec<Stamped> {
    let Stage { node, world, trace, watchers } = stage;
    sleep(LINGER).await;
    let begun = Instant::now();
    while node.budget().used > 0 && begun.elapsed() < SETTLE_MAX {
        sleep(LOOK_EVERY).await;
    }
    let settled = node.budget();
    trace.record(Event::ShuttingDown { used: settled.used });
    if node.shutdown(SHUTDOWN_MAX).await.is_err() {
        trace.record(Event::TreeEnded);
    }
    let budget = node.budget();
    drop(node);
    sleep(TIMERS_END).await;
    for watcher in watchers {
        watcher.abort();
        // Aborted or done: either way it is over.
        let _ = watcher.await;
    }
    let tasks = Handle::current().metrics().num_alive_tasks();
    trace.record(Event::Ended { budget, tasks, replies: world.open_replies() });
    trace.events()
}
