//! One run: a node from start to shutdown, everything that goes wrong meanwhile, and what came of
//! it.

use std::{sync::Arc, time::Duration};

use alys_sync::{coordinator::Phase, types::Height};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

use crate::{
    fixture::Fixture,
    invariants::{Broken, Facts, check_all},
    plan::{Blow, Course, Cut, Plan, Way},
    stage::{LOOK_EVERY, Stage, StageError},
    trace::{Event, PeerIndex, Stamped, hash},
    world::{StoreFault, Turnstile},
};

/// How long a blow waits for its height before it is done anyway. Unit: virtual time. Too low:
/// blows of slow runs pile up at the start. Too high: a stuck run lasts longer.
const BLOW_WAIT_MAX: Duration = Duration::from_secs(15);

/// What must be in flight when a child is struck at work. Unit: segments. Source: what was asked
/// for: fewer, and a blow may meet a node that has nothing to lose.
pub const AT_WORK_SEGMENTS: usize = 4;

/// How long a blow waits for that before it is done anyway. Unit: virtual time. Too low: blows meet
/// idle nodes. Too high: a run whose sync ended early lasts longer.
const AT_WORK_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a sync may take once all faults are over. Unit: virtual time. Source: the longest
/// pauses of a healthy node (a peer set back for 15 s, a failed sync that tries again after 60 s)
/// one after the other. Too low: alarms that are none. Too high: a stuck run is found later.
const HEALED_SYNC_MAX: Duration = Duration::from_secs(120);

/// How long a sync may take among peers that stay what they are. Unit: virtual time. Source: the
/// chain takes a minute over the slowest two links alone, and the pauses of a healthy node come on
/// top. Too low: alarms that are none. Too high: a stuck run is found later.
const UNHEALED_SYNC_MAX: Duration = Duration::from_secs(300);

/// From the node's word that the way to peers is back to the look at what it thinks of them. Unit:
/// virtual time. Figures are shown four times a second.
const SETTLED_WITHIN: Duration = Duration::from_millis(300);

/// From the moment at which the way to peers is back to that look, at most. Unit: virtual time.
/// Source: the product's promise: by then nobody is worse off.
const JUDGED_AFTER: Duration = Duration::from_secs(5);

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
    /// There is no node to watch.
    #[error(transparent)]
    Stage(#[from] StageError),
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

async fn drive(
    plan: &Plan,
    fixture: &Arc<Fixture>,
    plant: Option<Plant>,
    turnstile: &Turnstile,
) -> Result<Vec<Stamped>, StageError> {
    let stage = Stage::set(plan, fixture, plant, turnstile).await?;
    if let Some(child) = plan.killed_before_start {
        stage.strike(child, Way::Kill, 0);
    }
    let head = fixture.head.height;
    if let Course::Cut(cut) = plan.course {
        stage.world.set_head(cut.head);
    }
    stage.start_sync().await;
    match plan.course {
        Course::Healing { faults_for } => {
            for blow in &plan.blows {
                strike(&stage, blow).await;
            }
            sleep(faults_for.saturating_sub(stage.trace.now())).await;
            stage.world.heal();
            stage.until_synced(HEALED_SYNC_MAX, head).await;
        }
        Course::Unhealed => stage.until_synced(UNHEALED_SYNC_MAX, head).await,
        Course::Cut(cut) => {
            cut_off(&stage, &cut, head).await;
            stage.until_synced(HEALED_SYNC_MAX, head).await;
        }
    }
    stage.until_back().await;
    Ok(stage.end().await)
}

/// Cuts the way to peers and lets it come back; by then the network has made all its blocks.
async fn cut_off(stage: &Stage, cut: &Cut, head: Height) {
    // A node that does not come so far is cut off where it is.
    let _ = stage
        .until(UNHEALED_SYNC_MAX, |status| {
            let synced = matches!(status.phase, Phase::Synced { .. });
            status.current_height >= cut.height && (synced || !cut.is_idle())
        })
        .await;
    sleep(cut.pause).await;
    stage.note_judgements();
    stage.trace.record(Event::Cut { peers: cut.peers });
    stage.world.cut_off(cut.peers, cut.kind, cut.lasts);
    sleep(cut.lasts).await;
    stage.trace.record(Event::LinkBack);
    stage.world.set_head(head);
    // What the links do to peers afterwards is no matter of the cut.
    let _ = stage.until(JUDGED_AFTER, |status| status.link_cut.is_none()).await;
    sleep(SETTLED_WITHIN).await;
    stage.note_judgements();
}

async fn strike(stage: &Stage, blow: &Blow) {
    // A height that is not reached in time does not save the child.
    let _ = stage.until(BLOW_WAIT_MAX, |status| status.current_height >= blow.height).await;
    sleep(blow.pause).await;
    let mut segments = stage.segments().await;
    if !blow.at_work {
        stage.strike(blow.child, blow.way, segments);
        return;
    }
    let begun = Instant::now();
    while begun.elapsed() < AT_WORK_WAIT_MAX {
        if segments >= AT_WORK_SEGMENTS && stage.strike(blow.child, blow.way, segments) {
            return;
        }
        sleep(LOOK_EVERY).await;
        segments = stage.segments().await;
    }
    stage.strike(blow.child, blow.way, segments);
}
