//! A node in its simulated world: set up from a plan, watched while it runs, taken down in the end.

use std::{sync::Arc, time::Duration};

use alys_sync::{
    adapters::memory::MemoryChain,
    coordinator::{Phase, SyncStatus},
    node::{Node, NodeError, Ports},
    ports::{Chain as _, ChainError, Compute, InlineCompute},
    reputation::PeerState,
    tree::Child,
    types::{BlockRef, Height},
};
use supervisors::{Report, ReportStream};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    fixture::Fixture,
    plan::{Plan, Way},
    run::Plant,
    trace::{Event, PeerIndex, Stamped, Trace},
    world::{
        LossyCompute, Machine, RecordingChain, RecordingJournal, SeededEntropy, SimPeer,
        SimStarter, Turnstile, VirtualClock, World,
    },
};

/// How often a run looks at the node's status. Unit: virtual time. Too low: idle work. Too high:
/// kills cluster on few moments.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How often the download window is noted. Unit: virtual time. Source: a few times in the second in
/// which nothing may be lost. Too low: idle work. Too high: what passes is not seen.
const NOTE_WINDOW_EVERY: Duration = Duration::from_millis(200);

/// Between the sync and the shutdown: a child killed last has this long to come back. Unit: virtual
/// time, more than a child is allowed.
const LINGER: Duration = Duration::from_millis(500);

/// How long a child may take to come back in the end. Unit: virtual time. Source: one that hangs is
/// noticed within six seconds.
const BACK_MAX: Duration = Duration::from_secs(10);

/// How long probes may hold memory after the sync. Unit: virtual time.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// How long children may take to stop. Unit: virtual time.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// After the shutdown, timers of stopped actors have this long to notice. Unit: virtual time, more
/// than the longest of them.
const TIMERS_END: Duration = Duration::from_secs(2);

/// Why there is no node to watch.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The node did not start.
    #[error("the node does not start")]
    Node(#[from] NodeError),
    /// What the node is to have from the start could not be stored.
    #[error("the node's store cannot be filled")]
    Store(#[from] ChainError),
}

/// A node in its world.
pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) world: Arc<World>,
    pub(crate) trace: Trace,
    watchers: [JoinHandle<()>; 2],
}

impl Stage {
    /// Starts the node of `plan`, which is not told to sync yet.
    pub(crate) async fn set(
        plan: &Plan,
        fixture: &Arc<Fixture>,
        plant: Option<Plant>,
        turnstile: &Turnstile,
    ) -> Result<Self, StageError> {
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
        chain.append(fixture.verified_to(plan.start))?;
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
            resources: Arc::new(Machine::new(turnstile.clone(), plan.pressures.clone())),
        };
        let node = Node::start(config, ports).await?;
        let watchers = [
            tokio::spawn(follow_reports(node.reports(), trace.clone())),
            tokio::spawn(follow_status(node.watch(), trace.clone())),
        ];
        Ok(Self { node, world, trace, watchers })
    }

    /// Tells the node to sync. A coordinator that is restarting does not answer: who commands
    /// tries again.
    pub(crate) async fn start_sync(&self) {
        while self.node.start_sync(None).await.is_err() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the status is as wanted; whether it came to that. Two tasks that wait for the
    /// same watch channel would be woken in an order that differs from run to run.
    pub(crate) async fn until(
        &self,
        within: Duration,
        wanted: impl Fn(&SyncStatus) -> bool,
    ) -> bool {
        let begun = Instant::now();
        let mut noted = begun;
        while !wanted(&self.node.status()) {
            if begun.elapsed() >= within {
                return false;
            }
            if noted.elapsed() >= NOTE_WINDOW_EVERY {
                noted = Instant::now();
                self.note_window().await;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Notes what the scheduler has under way. One that is down or hangs has nothing to say.
    async fn note_window(&self) {
        if let Ok(Ok(window)) = timeout(LOOK_EVERY, self.node.window()).await {
            self.trace.record(Event::Window {
                requests: window.requests,
                verifying: window.verifying_blocks,
                importing: window.released_blocks,
            });
        }
    }

    /// Waits until the node says that it is synced at `head`, and notes what came of it.
    pub(crate) async fn until_synced(&self, within: Duration, head: Height) {
        let done = |status: &SyncStatus| {
            matches!(status.phase, Phase::Synced { .. }) && status.current_height == head
        };
        let synced = self.until(within, done).await;
        let status = self.node.status();
        let head = BlockRef { height: status.current_height, root: status.head };
        self.trace.record(if synced { Event::Synced { head } } else { Event::GaveUp { head } });
    }

    /// Strikes a child down; whether there was one.
    pub(crate) fn strike(&self, child: Child, way: Way, segments: usize) -> bool {
        let incarnation = self.node.incarnation(child);
        let struck = match way.strike() {
            None => self.node.kill(child),
            Some(strike) => self.node.strike(child, strike),
        };
        self.trace.record(if struck {
            Event::Struck { child, way, incarnation, segments }
        } else {
            Event::Missed { child, way }
        });
        struck
    }

    /// The segments that are in flight, in verification or waiting for import. A scheduler that is
    /// down has none.
    pub(crate) async fn segments(&self) -> usize {
        self.node.window().await.map_or(0, |window| window.segments)
    }

    /// Waits until every child that was struck is back, one that hangs too.
    pub(crate) async fn until_back(&self) {
        let struck = self.trace.events().into_iter().filter_map(|stamped| {
            let Event::Struck { child, incarnation, .. } = stamped.event else { return None };
            Some((child, incarnation))
        });
        let struck: Vec<_> = struck.collect();
        let begun = Instant::now();
        let back =
            |(child, incarnation): &(Child, u64)| self.node.incarnation(*child) > *incarnation;
        while !struck.iter().all(back) && begun.elapsed() < BACK_MAX {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Notes what the node thinks of each peer.
    pub(crate) fn note_judgements(&self) {
        for status in self.node.status().peers {
            let Some(peer) = self.world.index_of(&status.peer) else { continue };
            let banned = matches!(status.state, PeerState::Banned);
            self.trace.record(Event::Judged { peer, score: status.score, banned });
        }
    }

    /// Stops the node; everything that happened.
    pub(crate) async fn end(self) -> Vec<Stamped> {
        let Self { node, world, trace, watchers } = self;
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
            Report::Hung { id: child, incarnation, .. } => {
                trace.record(Event::Hung { child, incarnation });
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
    let (mut last, mut partitioned) = (None, false);
    while status.changed().await.is_ok() {
        let (shown, told) = {
            let status = status.borrow_and_update();
            let shown = (status.phase.name(), status.current_height, status.usable_peers);
            (shown, status.link_cut.is_some())
        };
        if partitioned != told {
            partitioned = told;
            trace.record(Event::Partition { told });
        }
        if last != Some(shown) {
            last = Some(shown);
            let (phase, height, usable_peers) = shown;
            trace.record(Event::Status { phase, height, usable_peers });
        }
    }
}
