//! The actor: observations into the book, what follows out of it. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use super::{
    ReputationMsg,
    book::{Action, PeerBook},
};
use crate::{
    coordinator::CoordinatorHandle,
    network::NetworkHandle,
    ports::Clock,
    resilience::Prober,
    scheduler::SchedulerHandle,
    selection::Standing,
    types::{BlockRoot, Height, PeerId},
};

/// How often figures are passed on, and checks that are due begin. Unit: time. Too low: idle
/// work. Too high: figures shown to people are that old.
const TICK: Duration = Duration::from_millis(250);

/// What reputation needs.
#[derive(Clone)]
pub struct ReputationArgs {
    /// The identity of our chain.
    pub genesis: BlockRoot,
    /// How long a provable liar is kept out.
    pub ban: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How a peer's chain is checked.
    pub prober: Prober,
    /// Who connects.
    pub network: NetworkHandle,
    /// Who asks peers.
    pub scheduler: SchedulerHandle,
    /// Who wants to know how many there are.
    pub coordinator: CoordinatorHandle,
}

/// The actor.
pub struct PeerReputation;

/// Reputation at work. Dropping it aborts the checks.
pub struct State {
    args: ReputationArgs,
    book: PeerBook,
    checks: JoinSet<()>,
    told: Told,
}

/// What the scheduler was told last.
#[derive(Debug, Clone, Default)]
struct Told {
    usable: BTreeMap<PeerId, Standing>,
    banned: BTreeSet<PeerId>,
}

impl Actor for PeerReputation {
    type Msg = ReputationMsg;
    type State = State;
    type Arguments = ReputationArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ReputationMsg>,
        args: ReputationArgs,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(TICK, || ReputationMsg::Tick);
        let book = PeerBook::new(args.genesis, args.ban);
        Ok(State { args, book, checks: JoinSet::new(), told: Told::default() })
    }

    async fn post_start(
        &self,
        _: ActorRef<ReputationMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // The network answers with who is connected; one that is down now announces itself.
        let _ = state.args.network.reputation_started();
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ReputationMsg>,
        message: ReputationMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.args.clock.now();
        let mut actions = Vec::new();
        let mut show = matches!(message, ReputationMsg::Tick);
        match message {
            ReputationMsg::Connected { peer, address } => {
                actions.extend(state.book.connected(now, peer, address));
                show = true;
            }
            ReputationMsg::Disconnected { peer } => {
                state.book.disconnected(now, peer);
                show = true;
            }
            ReputationMsg::ConnectedPeers { peers } => {
                actions.extend(state.book.reset(now, peers));
                show = true;
            }
            ReputationMsg::Observed { peer, evidence } => {
                tracing::trace!(%peer, ?evidence, "observed");
                actions.extend(state.book.observe(now, peer, &evidence));
            }
            ReputationMsg::Checked { peer, answer } => {
                tracing::debug!(%peer, ?answer, "chain of peer checked");
                actions.extend(state.book.checked(now, peer, answer));
                show = true;
            }
            ReputationMsg::SchedulerStarted => state.told = Told::default(),
            ReputationMsg::CoordinatorStarted => show = true,
            ReputationMsg::Tick => {}
        }
        for Action::Disconnect(peer) in actions {
            tracing::info!(%peer, "closing the connection to a peer that is of no use");
            // A network that is down has no connections.
            let _ = state.args.network.disconnect(peer);
            show = true;
        }
        check(&myself, state, now);
        tell(state, show);
        Ok(())
    }
}

fn check(myself: &ActorRef<ReputationMsg>, state: &mut State, now: Duration) {
    while state.checks.try_join_next().is_some() {}
    for peer in state.book.due_checks(now) {
        let (prober, myself) = (state.args.prober.clone(), myself.clone());
        state.checks.spawn(async move {
            let answer = prober.probe(peer, Height::new(1)).await;
            // Reputation that is gone has aborted its checks.
            let _ = myself.cast(ReputationMsg::Checked { peer, answer });
        });
    }
}

/// Passes on what changed; siblings that are down ask when they are back.
fn tell(state: &mut State, show: bool) {
    let now = Told { usable: state.book.usable(), banned: state.book.banned() };
    let before = &state.told;
    // Who may be asked matters at once, a change of score can wait for the next tick.
    let others = now.banned != before.banned || !now.usable.keys().eq(before.usable.keys());
    let news = others || (show && now.usable != before.usable);
    let Told { usable, banned } = now.clone();
    if news && state.args.scheduler.usable_peers(usable, banned).is_ok() {
        state.told = now;
    }
    if show {
        let _ = state.args.coordinator.peers_changed(state.book.view());
    }
}
