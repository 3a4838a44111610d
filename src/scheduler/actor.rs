//! The actor: messages to events, effects to tasks and messages. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use supervisors::StruckDown;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use super::{
    SchedulerMsg, Settings, WindowGauge,
    core::{DownloadCore, DownloadEffect, DownloadEvent, Held},
    fetch::{self, Fetch, FetchContext},
    message::FetchReport,
    policy::Adaptive,
};
use crate::{
    coordinator::CoordinatorHandle,
    flow::{ByteBudget, RequestId, Segment},
    importer::ImporterHandle,
    ports::Clock,
    reputation::{Evidence, ReputationHandle},
    resilience::PeerCaller,
    selection::{SelectionSettings, Selector, Standing},
    types::{HeightRange, PeerId},
    validation::ValidatorHandle,
};

/// How often time is looked at by itself: pauses of peers end with it. Unit: time. Too low: idle
/// work. Too high: a peer is idle that much longer than its pause.
const TICK: Duration = Duration::from_millis(50);

/// What the scheduler needs.
#[derive(Clone)]
pub struct SchedulerArgs {
    /// The operator's choices.
    pub settings: Settings,
    /// How peers are chosen.
    pub selection: SelectionSettings,
    /// Decides what is left to chance.
    pub seed: u64,
    /// The one budget of bytes.
    pub budget: ByteBudget,
    /// The way to peers.
    pub caller: PeerCaller,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who verifies.
    pub validator: ValidatorHandle,
    /// Who imports.
    pub importer: ImporterHandle,
    /// Who knows the peers.
    pub reputation: ReputationHandle,
    /// Who knows how far to go.
    pub coordinator: CoordinatorHandle,
}

impl Held for Arc<Segment> {
    fn range(&self) -> HeightRange {
        self.range
    }

    fn peer(&self) -> PeerId {
        self.origin.peer
    }
}

/// The actor.
pub struct DownloadScheduler;

/// The scheduler at work. Dropping it aborts the fetch tasks.
pub struct State {
    args: SchedulerArgs,
    core: DownloadCore<Arc<Segment>>,
    peers: BTreeSet<PeerId>,
    tasks: JoinSet<()>,
    fetches: BTreeMap<RequestId, Task>,
    /// Bytes that were received before this incarnation.
    received_before: u64,
}

/// A fetch task.
struct Task {
    abort: AbortHandle,
    /// The task receives for as long as this is there.
    running: Option<oneshot::Sender<()>>,
}

impl Actor for DownloadScheduler {
    type Msg = SchedulerMsg;
    type State = State;
    type Arguments = SchedulerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<SchedulerMsg>,
        args: SchedulerArgs,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(TICK, || SchedulerMsg::Tick);
        Ok(State {
            core: DownloadCore::new(
                Box::new(Adaptive::new(
                    args.settings.clone(),
                    Selector::new(args.selection, args.seed),
                )),
                args.settings.requests_per_peer_max,
            ),
            received_before: args.caller.received_bytes(),
            args,
            peers: BTreeSet::new(),
            tasks: JoinSet::new(),
            fetches: BTreeMap::new(),
        })
    }

    async fn post_start(
        &self,
        _: ActorRef<SchedulerMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Each of them answers with what this incarnation must know; one that is down now
        // announces itself when it is back.
        let _ = state.args.importer.scheduler_started();
        let _ = state.args.reputation.scheduler_started();
        let _ = state.args.coordinator.scheduler_started();
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<SchedulerMsg>,
        message: SchedulerMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let mut events = events(state, message).await?;
        events.extend(panicked(state));
        for event in events {
            let now = state.args.clock.now();
            let effects = state.core.apply(now, event);
            perform(&myself, state, effects);
        }
        state.args.budget.set_front(state.core.front());
        let available = state.args.budget.gauge().available();
        let effects = state.core.plan(state.args.clock.now(), available);
        perform(&myself, state, effects);
        Ok(())
    }
}

async fn events(
    state: &mut State,
    message: SchedulerMsg,
) -> Result<Vec<DownloadEvent<Arc<Segment>>>, StruckDown> {
    Ok(match message {
        SchedulerMsg::SetWindow { next, last } => vec![DownloadEvent::WindowSet { next, last }],
        SchedulerMsg::CloseWindow => vec![DownloadEvent::WindowClosed],
        SchedulerMsg::UsablePeers { peers, banned } => usable(state, &peers, banned),
        SchedulerMsg::Imported { head } => vec![DownloadEvent::Imported { head }],
        SchedulerMsg::ImportRefused { refusal } => {
            let evidence = Evidence::NotLinked { block: refusal.fault.child() };
            state.args.reputation.evidence(refusal.origin.peer, evidence);
            vec![DownloadEvent::ImportRefused { at: refusal.at }]
        }
        SchedulerMsg::ImporterStarted { head } => vec![DownloadEvent::ImporterStarted { head }],
        SchedulerMsg::SetBack { head } => vec![DownloadEvent::SetBack { head }],
        SchedulerMsg::Fetch { request, report } => fetched(state, request, report),
        SchedulerMsg::Tick => Vec::new(),
        SchedulerMsg::ReadFront { reply } => {
            // Who no longer waits for the answer needs none.
            let _ = reply.send(state.core.front_state());
            Vec::new()
        }
        SchedulerMsg::ReadGauge { reply } => {
            // Who no longer waits for the answer needs none.
            let _ = reply.send(gauge(state));
            Vec::new()
        }
        SchedulerMsg::Vital(vital) => {
            vital.obey().await?;
            Vec::new()
        }
    })
}

fn gauge(state: &State) -> WindowGauge {
    let mut gauge = state.core.gauge();
    let received = state.args.caller.received_bytes().saturating_sub(state.received_before);
    gauge.unused_bytes = received.saturating_sub(gauge.used_bytes);
    gauge
}

/// Fetch tasks that ended without saying so: nothing more will be heard of their requests.
fn panicked(state: &mut State) -> Vec<DownloadEvent<Arc<Segment>>> {
    let mut settled = Vec::new();
    while let Some(ended) = state.tasks.try_join_next_with_id() {
        let Err(error) = ended else { continue };
        let lost = state.fetches.iter().find(|(_, task)| task.abort.id() == error.id());
        if let Some((&request, _)) = lost {
            tracing::error!(%error, request = request.0, "a fetch task panicked");
            state.fetches.remove(&request);
            settled.push(DownloadEvent::Settled { request });
        }
    }
    settled
}

fn usable(
    state: &mut State,
    peers: &BTreeMap<PeerId, Standing>,
    banned: BTreeSet<PeerId>,
) -> Vec<DownloadEvent<Arc<Segment>>> {
    let gone = state.peers.iter().filter(|peer| !peers.contains_key(peer));
    let mut events: Vec<_> = gone.map(|peer| DownloadEvent::PeerUnusable { peer: *peer }).collect();
    let now_usable = peers.iter();
    events
        .extend(now_usable.map(|(&peer, &standing)| DownloadEvent::PeerUsable { peer, standing }));
    events.extend(banned.into_iter().map(|peer| DownloadEvent::PeerBanned { peer }));
    state.peers = peers.keys().copied().collect();
    events
}

fn fetched(
    state: &mut State,
    request: RequestId,
    report: FetchReport,
) -> Vec<DownloadEvent<Arc<Segment>>> {
    match report {
        FetchReport::Arrived { range, bytes } => {
            vec![DownloadEvent::Arrived { request, range, bytes }]
        }
        FetchReport::Verified { range, segments } => {
            vec![DownloadEvent::Verified { request, range, segments }]
        }
        FetchReport::Ended { end } => vec![DownloadEvent::Ended { request, end }],
        FetchReport::Settled => {
            state.fetches.remove(&request);
            vec![DownloadEvent::Settled { request }]
        }
    }
}

fn perform(
    myself: &ActorRef<SchedulerMsg>,
    state: &mut State,
    effects: Vec<DownloadEffect<Arc<Segment>>>,
) {
    for effect in effects {
        match effect {
            DownloadEffect::Fetch { request, peer, range, bytes, block_deadline } => {
                start_fetch(myself, state, (request, peer, range), bytes, block_deadline);
            }
            DownloadEffect::Cancel { request } => {
                if let Some(task) = state.fetches.remove(&request) {
                    task.abort.abort();
                }
            }
            DownloadEffect::Stop { request } => {
                if let Some(task) = state.fetches.get_mut(&request) {
                    // Dropping the sender stops it; one that has ended needs no stopping.
                    drop(task.running.take());
                }
            }
            // An importer that is down gets everything unimported again when it is back.
            DownloadEffect::Release(segment) => {
                let _ = state.args.importer.import(segment);
            }
        }
    }
}

fn start_fetch(
    myself: &ActorRef<SchedulerMsg>,
    state: &mut State,
    (request, peer, range): (RequestId, PeerId, HeightRange),
    bytes: u64,
    block_deadline: Duration,
) {
    let Some(permit) = state.args.budget.try_reserve(range.start(), bytes) else {
        state.core.not_sent(state.args.clock.now(), request);
        return;
    };
    let span = tracing::debug_span!("segment", %peer, %range, request = request.0);
    let context = FetchContext {
        caller: state.args.caller.clone(),
        validator: state.args.validator.clone(),
        reputation: state.args.reputation.clone(),
    };
    let (running, stopped) = oneshot::channel();
    let fetch = Fetch { request, peer, range, block_deadline, permit, span };
    let abort = state.tasks.spawn(fetch::run(context, fetch, myself.clone(), stopped));
    state.fetches.insert(request, Task { abort, running: Some(running) });
}
