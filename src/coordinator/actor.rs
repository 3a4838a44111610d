//! The actor: messages to events, effects to messages and probes. It decides nothing.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use supervisors::StruckDown;
use tokio::{sync::watch, task::JoinSet};

use super::{
    CoordinatorMsg, SyncStatus,
    core::{Core, Effect, Event},
    gate::{Gate, GateKeeper, View},
    last_command::LastCommand,
    last_look::LastLook,
    message::Command,
    phase::{Phase, Refused},
    progress::{Eta, Progress},
    stall::StallWatch,
};
use crate::{
    config::DiscoverySettings,
    consensus::ChainSpec,
    importer::ImporterHandle,
    ports::{Chain, Clock},
    reputation::{Evidence, ReputationHandle},
    resilience::{ProbeAnswer, Prober},
    resources::Shortage,
    scheduler::SchedulerHandle,
    selection::{SelectionSettings, Selector},
    types::{Height, PeerId},
    validation::Fault,
};

/// How often time is looked at. Unit: time. Too low: idle work. Too high: figures shown to people
/// are that old.
const TICK: Duration = Duration::from_millis(100);

/// What the coordinator needs.
#[derive(Clone)]
pub struct CoordinatorArgs {
    /// How the height of the network is found.
    pub settings: DiscoverySettings,
    /// How peers are chosen that are asked for it.
    pub selection: SelectionSettings,
    /// Decides what is left to chance.
    pub seed: u64,
    /// The rules, for slot durations.
    pub spec: Arc<ChainSpec>,
    /// The chain, for the head at start.
    pub chain: Arc<dyn Chain>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How peers are asked for their height.
    pub prober: Prober,
    /// Who downloads.
    pub scheduler: SchedulerHandle,
    /// Who owns the chain.
    pub importer: ImporterHandle,
    /// Who knows the peers.
    pub reputation: ReputationHandle,
    /// Where the status is shown; outlives incarnations.
    pub status: watch::Sender<SyncStatus>,
    /// What was commanded; outlives incarnations.
    pub last_command: LastCommand,
    /// When the gate was looked at; outlives incarnations.
    pub last_look: LastLook,
}

/// The actor.
pub struct SyncCoordinator;

/// The coordinator at work. Dropping it aborts the probes and questions.
pub struct State {
    args: CoordinatorArgs,
    core: Core,
    progress: Progress,
    stalls: StallWatch,
    gate: GateKeeper,
    /// The chain is about to be set back.
    setting_back: bool,
    production: Gate,
    last_checkpoint: Option<Height>,
    short_of: Vec<Shortage>,
    /// What the status said when this incarnation began: counted on from there.
    before: Before,
    probes: JoinSet<()>,
}

/// Whoever follows the network is gone, however it ended.
impl Drop for State {
    fn drop(&mut self) {
        self.args.status.send_modify(|status| status.production = Gate::NotFollowing);
    }
}

/// The counters of a status, and the height they are of.
struct Before {
    height: Height,
    blocks_processed: u64,
    blocks_failed: u64,
    /// The highest height that was proven, as far as that was the target.
    proven: Height,
}

impl Before {
    fn of(status: &SyncStatus) -> Self {
        let SyncStatus { current_height: height, blocks_processed, blocks_failed, .. } = *status;
        let proven = if status.target_given { Height::GENESIS } else { status.target_height };
        Self { height, blocks_processed, blocks_failed, proven }
    }

    /// Blocks processed when the chain has come to `head`: each block of it counts once, whoever
    /// told of it, and those that it was set back by do not count.
    fn processed(&self, head: Height) -> u64 {
        let (above, below) = (head.blocks_above(self.height), self.height.blocks_above(head));
        self.blocks_processed.saturating_add(above).saturating_sub(below)
    }
}

impl Actor for SyncCoordinator {
    type Msg = CoordinatorMsg;
    type State = State;
    type Arguments = CoordinatorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        args: CoordinatorArgs,
    ) -> Result<State, ActorProcessingErr> {
        let selector = Selector::new(args.selection, args.seed);
        let (genesis, head) = (args.chain.genesis(), args.chain.head());
        let before = Before::of(&args.status.borrow());
        let core = Core::new(args.settings.clone(), selector, genesis, head, args.seed)
            .knowing(before.proven);
        let last_checkpoint = args.status.borrow().last_checkpoint;
        myself.send_interval(TICK, || CoordinatorMsg::Tick);
        Ok(State {
            core,
            progress: Progress::default(),
            stalls: StallWatch::default(),
            gate: GateKeeper::default(),
            setting_back: false,
            production: Gate::NotFollowing,
            last_checkpoint,
            short_of: Vec::new(),
            before,
            probes: JoinSet::new(),
            args,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _ = state.args.reputation.coordinator_started();
        let _ = state.args.importer.coordinator_started();
        let now = state.args.clock.now();
        for command in state.args.last_command.again() {
            // From idle, these are always possible.
            for effect in state.core.command(now, command).unwrap_or_default() {
                perform(&myself, state, effect);
            }
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        message: CoordinatorMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.args.clock.now();
        let before = state.core.phase().name();
        let head = state.core.head().height;
        let (effects, answer) = take(state, now, message).await?;
        if state.core.head().height < head {
            state.progress.begin_anew();
        }
        for effect in effects {
            perform(&myself, state, effect);
        }
        while state.probes.try_join_next().is_some() {}
        look_for_stalls(&myself, state, now);
        state.production = look_at_gate(state, now);
        state.args.status.send_replace(status(state, now));
        // After the status, so that who reads of a phase and asks finds it.
        let after = state.core.phase();
        if after.name() != before {
            tracing::info!(from = before, to = after.name(), head = %state.core.head(), "phase");
        }
        if let Some(Answer { reply, done }) = answer {
            // Last, so that who was answered finds the status changed. Who no longer waits for the
            // answer needs none.
            let _ = reply.send(done);
        }
        Ok(())
    }
}

fn obey(state: &mut State, now: Duration, command: Command) -> (Vec<Effect>, Result<(), Refused>) {
    match state.core.command(now, command) {
        Ok(effects) => {
            state.args.last_command.keep(command);
            (effects, Ok(()))
        }
        Err(refused) => (Vec::new(), Err(refused)),
    }
}

/// What a command is answered, once everything it changed is done.
struct Answer {
    reply: RpcReplyPort<Result<(), Refused>>,
    done: Result<(), Refused>,
}

async fn take(
    state: &mut State,
    now: Duration,
    message: CoordinatorMsg,
) -> Result<(Vec<Effect>, Option<Answer>), StruckDown> {
    let event = match message {
        CoordinatorMsg::Command { command, reply } => {
            let (effects, done) = obey(state, now, command);
            return Ok((effects, Some(Answer { reply, done })));
        }
        CoordinatorMsg::ReadStatus { reply } => {
            let _ = reply.send(status(state, now));
            return Ok((Vec::new(), None));
        }
        CoordinatorMsg::CheckpointMade { height } => {
            state.last_checkpoint = Some(height);
            return Ok((Vec::new(), None));
        }
        CoordinatorMsg::ShortOf { shortages } => {
            state.short_of = shortages;
            return Ok((Vec::new(), None));
        }
        CoordinatorMsg::HeadRead { head } => {
            state.setting_back = false;
            Event::HeadRead { head }
        }
        CoordinatorMsg::SettingBack => {
            state.setting_back = true;
            return Ok((Vec::new(), None));
        }
        CoordinatorMsg::SetBack { head } => {
            state.setting_back = false;
            Event::SetBack { head }
        }
        CoordinatorMsg::Imported { head, blocks, bytes } => {
            state.progress.imported(now, blocks, bytes, state.core.target());
            Event::Imported { head }
        }
        CoordinatorMsg::ImportRefused { refusal } => {
            Event::ImportRefused { at: refusal.at, peer: refusal.origin.peer }
        }
        CoordinatorMsg::PeersChanged { view } => Event::Peers { view },
        CoordinatorMsg::Probed { peer, height, answer } => {
            Event::Probed { peer, height, answer: convict(state, peer, height, answer) }
        }
        CoordinatorMsg::SchedulerStarted => Event::SchedulerStarted,
        CoordinatorMsg::FrontRead { front } => {
            state.stalls.told(front);
            return Ok((Vec::new(), None));
        }
        CoordinatorMsg::Vital(vital) => {
            vital.obey().await?;
            return Ok((Vec::new(), None));
        }
        CoordinatorMsg::Tick => {
            state.progress.tick(now);
            Event::Tick
        }
    };
    Ok((state.core.apply(now, event), None))
}

/// A lie told to a probe counts like any other: near the head, probes are all that a liar is asked.
fn convict(state: &State, peer: PeerId, height: Height, answer: ProbeAnswer) -> ProbeAnswer {
    match answer {
        ProbeAnswer::Fault { fault, .. } if fault.is_provable_lie() => {
            state.args.reputation.evidence(peer, Evidence::Lied(Fault { height, fault }));
            ProbeAnswer::NoVerdict
        }
        ProbeAnswer::Fault { .. }
        | ProbeAnswer::Block(_)
        | ProbeAnswer::Nothing
        | ProbeAnswer::Failed(_)
        | ProbeAnswer::NoVerdict => answer,
    }
}

fn perform(myself: &ActorRef<CoordinatorMsg>, state: &mut State, effect: Effect) {
    match effect {
        // A scheduler that is down asks for its window when it is back.
        Effect::SetWindow { next, last } => {
            let _ = state.args.scheduler.set_window(next, last);
        }
        Effect::CloseWindow => {
            let _ = state.args.scheduler.close_window();
        }
        Effect::Probe { peer, height } => probe(myself, state, peer, height),
    }
}

fn probe(myself: &ActorRef<CoordinatorMsg>, state: &mut State, peer: PeerId, height: Height) {
    let (prober, myself) = (state.args.prober.clone(), myself.clone());
    state.probes.spawn(async move {
        let answer = prober.probe(peer, height).await;
        tracing::trace!(%peer, %height, ?answer, "probed");
        // A coordinator that is gone has aborted its probes.
        let _ = myself.cast(CoordinatorMsg::Probed { peer, height, answer });
    });
}

/// Watches whether the sync stands still, and asks the scheduler why when it does.
fn look_for_stalls(myself: &ActorRef<CoordinatorMsg>, state: &mut State, now: Duration) {
    let (head, target) = (state.core.head().height, state.core.target());
    let behind = state.core.phase().is_active() && target > head;
    if !behind {
        state.progress.begin_anew();
    }
    state.stalls.look(now, head, behind);
    if state.stalls.should_ask(now) {
        let (scheduler, myself) = (state.args.scheduler.clone(), myself.clone());
        state.probes.spawn(async move {
            let front = scheduler.front().await.ok();
            // A coordinator that is gone has aborted its questions.
            let _ = myself.cast(CoordinatorMsg::FrontRead { front });
        });
    }
}

fn look_at_gate(state: &mut State, now: Duration) -> Gate {
    state.args.last_look.looked(now);
    let head = state.core.head().height;
    let slot = state.args.spec.slot_duration_at(head);
    let view = View {
        phase: state.core.phase(),
        head,
        target: state.core.target(),
        last_answer: state.core.last_answer(),
        link_cut: state.core.peers().link_cut.is_some(),
        setting_back: state.setting_back,
        slot: Duration::from_millis(slot.as_ms()),
    };
    state.gate.look(now, view)
}

/// The time to the target; none without one.
fn eta(state: &State, now: Duration) -> Option<Eta> {
    let (head, target) = (state.core.head().height, state.core.target());
    let slot = Duration::from_millis(state.args.spec.slot_duration_at(head).as_ms());
    let eta = || state.progress.eta(now, head, target, slot);
    state.core.phase().has_target().then(eta).flatten()
}

fn status(state: &State, now: Duration) -> SyncStatus {
    let (head, target) = (state.core.head(), state.core.target());
    let rates = state.progress.rates(now);
    let phase = state.core.phase().clone();
    let failure = match &phase {
        Phase::Failed { reason, retry_at: Some(at), .. } => {
            let seconds = at.saturating_sub(now).as_secs();
            Some(format!("{reason}; tries again in {seconds} s"))
        }
        Phase::Failed { reason, failures, retry_at: None, .. } => Some(format!(
            "{reason}; failed {failures} times in a row: waits for another peer, or to be told to \
             resume"
        )),
        Phase::Idle
        | Phase::Discovering { .. }
        | Phase::DownloadingBlocks { .. }
        | Phase::CatchingUp { .. }
        | Phase::Synced { .. }
        | Phase::Paused => None,
    };
    let stalled = state.stalls.stall(now, state.core.peers().usable.len());
    let eta = if stalled.is_none() { eta(state, now) } else { None };
    let failed: u64 = state.core.peers().peers.iter().map(|peer| peer.failed_blocks).sum();
    SyncStatus {
        state_code: phase.code(),
        phase,
        failure,
        genesis: state.args.chain.genesis(),
        current_height: head.height,
        head: head.root,
        target_height: target,
        target_given: state.core.given().is_some(),
        blocks_processed: state.before.processed(head.height),
        // The peers' own figures last as long as the peers are known, which need not be for ever.
        blocks_failed: failed.max(state.before.blocks_failed),
        blocks_per_second: rates.blocks,
        bytes_per_second: rates.bytes,
        rate_window_seconds: rates.window,
        eta_seconds: eta.map(|eta| eta.seconds),
        eta_low_seconds: eta.map(|eta| eta.low),
        eta_high_seconds: eta.map(|eta| eta.high),
        stalled,
        production: state.production,
        last_checkpoint: state.last_checkpoint,
        usable_peers: state.core.peers().usable.len(),
        link_cut: state.core.peers().link_cut,
        short_of: state.short_of.clone(),
        peers: state.core.peers().peers.clone(),
    }
}
