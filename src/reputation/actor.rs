//! The actor: observations into the book, what follows out of it. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use supervisors::StruckDown;
use tokio::task::JoinSet;

use super::{
    Evidence, PeerView, ReputationMsg, ReputationSettings,
    book::{Action, PeerBook},
    storing::{Storing, settle},
};
use crate::{
    checkpoint::CheckpointHandle,
    coordinator::CoordinatorHandle,
    network::NetworkHandle,
    ports::{Chain, Clock},
    resilience::{LinkNews, LinkWatch, PeerCaller, Prober},
    scheduler::SchedulerHandle,
    selection::Standing,
    types::{Height, PeerId},
};

/// How often figures are passed on, checks that are due begin, and our own link is looked at. Unit:
/// time. Too low: idle work. Too high: figures shown to people are that old.
const TICK: Duration = Duration::from_millis(250);

/// What reputation needs.
#[derive(Clone)]
pub struct ReputationArgs {
    /// The operator's choices.
    pub settings: ReputationSettings,
    /// The chain: its identity, and what became of blocks that did not fit.
    pub chain: Arc<dyn Chain>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where requests are counted and breakers are.
    pub caller: PeerCaller,
    /// How a peer's chain is checked.
    pub prober: Prober,
    /// Where records are kept.
    pub checkpoints: CheckpointHandle,
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
    link: LinkWatch,
    storing: Storing,
    tasks: JoinSet<()>,
    /// Whether the chain is being read for what is unsettled.
    settling: bool,
    /// What the monotonic clock has to be set forward to tell time since the Unix epoch.
    epoch: Duration,
    told: Told,
}

/// What others were told last.
#[derive(Debug, Clone, Default)]
struct Told {
    usable: BTreeMap<PeerId, Standing>,
    banned: BTreeSet<PeerId>,
    refused: BTreeSet<PeerId>,
}

impl State {
    /// Time since the Unix epoch that never goes back, whatever is done to the wall clock.
    fn now(&self) -> Duration {
        self.epoch + self.args.clock.now()
    }
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
        Ok(State {
            book: PeerBook::new(args.chain.genesis(), args.settings.clone()),
            link: LinkWatch::default(),
            storing: Storing::new(args.checkpoints.clone()),
            tasks: JoinSet::new(),
            settling: false,
            epoch: args.clock.unix().saturating_sub(args.clock.now()),
            told: Told::default(),
            args,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<ReputationMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.storing.ask(&myself, &mut state.tasks);
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
        let tick = matches!(message, ReputationMsg::Tick);
        // Before the message: what it says may have come over a link that works again.
        look_at_the_link(state);
        let show = take(state, message).await?;
        let banned = state.book.banned(state.now());
        work(&myself, state, &banned, tick);
        tell(state, banned, show);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<ReputationMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let changes = state.book.take_changes();
        state.storing.store_at_the_end(changes).await;
        Ok(())
    }
}

/// Takes one message in; whether others are to be shown everything.
async fn take(state: &mut State, message: ReputationMsg) -> Result<bool, StruckDown> {
    let now = state.now();
    let mut actions = Vec::new();
    let show = match message {
        ReputationMsg::Connected { peer, address } => {
            actions.extend(state.book.connected(now, peer, address));
            watch_connections(state);
            true
        }
        ReputationMsg::Disconnected { peer } => {
            state.book.disconnected(now, peer);
            state.args.caller.left(peer);
            watch_connections(state);
            true
        }
        ReputationMsg::ConnectedPeers { peers } => {
            actions.extend(state.book.reset(now, peers));
            state.link.restarted(state.book.connected_peers());
            // A network that was started refuses nobody.
            state.told.refused.clear();
            // The network may still obey what we said before one of us ended.
            if state.link.cut(state.args.clock.now()).is_none() {
                let _ = state.args.network.link_back();
            }
            true
        }
        ReputationMsg::Observed { peer, evidence } => {
            tracing::trace!(%peer, ?evidence, "observed");
            if let Some(failed) = evidence.ends_a_request() {
                state.link.ended(state.args.clock.now(), peer, failed);
            }
            actions.extend(state.book.observe(now, peer, &evidence));
            false
        }
        ReputationMsg::Checked { peer, answer } => {
            tracing::debug!(%peer, ?answer, "chain of peer checked");
            actions.extend(state.book.checked(now, peer, answer));
            true
        }
        ReputationMsg::Restored { stored } => {
            tracing::debug!(peers = stored.len(), "what was known of peers is known again");
            actions.extend(state.book.restore(now, stored));
            state.storing.restored(now);
            true
        }
        ReputationMsg::Stored { failed } => {
            state.storing.ended();
            state.book.not_stored(&failed);
            false
        }
        ReputationMsg::Settled { blocks } => {
            state.settling = false;
            for block in blocks {
                state.book.settle(now, block.height, block.root);
            }
            false
        }
        ReputationMsg::Ban { peer, length, reply } => {
            actions.push(state.book.ban_by_hand(now, peer, length));
            // Who no longer waits for the answer needs none.
            let _ = reply.send(state.book.ban_of(peer));
            true
        }
        ReputationMsg::Lift { peer, reply } => {
            let _ = reply.send(state.book.lift(now, peer));
            true
        }
        ReputationMsg::SchedulerStarted => {
            state.told.usable.clear();
            state.told.banned.clear();
            false
        }
        ReputationMsg::CoordinatorStarted => true,
        ReputationMsg::Vital(vital) => {
            vital.obey().await?;
            false
        }
        ReputationMsg::Tick => {
            state.book.expire(now);
            true
        }
    };
    let acted = !actions.is_empty();
    for Action::Disconnect(peer) in actions {
        tracing::info!(%peer, "closing the connection to a peer that is of no use");
        state.link.dropped(peer);
        // A network that is down has no connections.
        let _ = state.args.network.disconnect(peer);
    }
    Ok(show || acted)
}

fn watch_connections(state: &mut State) {
    state.link.connected(state.args.clock.now(), state.book.connected_peers());
}

/// Looks whether our own link is cut, and takes back what that did to peers.
fn look_at_the_link(state: &mut State) {
    let now = state.args.clock.now();
    let traffic = state.args.caller.traffic();
    let news = state.link.look(now, &traffic, |peer| state.book.usual_wait(peer));
    match news {
        None => {}
        Some(LinkNews::Cut { sign, since }) => {
            let silent_for = now.saturating_sub(since);
            let taken_back =
                state.book.take_back(state.now(), state.now().saturating_sub(silent_for));
            state.args.caller.take_back(since);
            tracing::warn!(
                %sign, ?silent_for, taken_back,
                "our own link is taken for cut: no peer is blamed"
            );
        }
        Some(LinkNews::Dead) => {
            tracing::info!("giving up all connections over our own dead link, and dialling anew");
            let _ = state.args.network.link_cut();
        }
        Some(LinkNews::Healed { after }) => {
            let now = state.now();
            // What failed between the sign and now failed for the same reason.
            let taken_back = state.book.take_back(now, now.saturating_sub(after));
            state.args.caller.take_back(state.args.clock.now().saturating_sub(after));
            tracing::info!(?after, taken_back, "our own link works again");
            let _ = state.args.network.link_back();
        }
    }
}

/// Asks peers that nobody asks now, so that it shows whether the silence of others is our link's.
fn ask_others(state: &mut State) {
    let usable = state.book.usable();
    for peer in state.link.to_ask(state.args.clock.now(), usable.into_keys()) {
        let prober = state.args.prober.clone();
        state.tasks.spawn(async move {
            // Whether anything comes is all that counts, and the caller notes it.
            let answer = prober.probe(peer, Height::new(1)).await;
            tracing::debug!(%peer, ?answer, "asked because others are silent");
        });
    }
}

/// Begins what is due: checks, storing, questions to the chain.
fn work(
    myself: &ActorRef<ReputationMsg>,
    state: &mut State,
    banned: &BTreeSet<PeerId>,
    tick: bool,
) {
    let now = state.now();
    while state.tasks.try_join_next().is_some() {}
    for peer in state.book.due_checks(now) {
        let (prober, myself) = (state.args.prober.clone(), myself.clone());
        state.tasks.spawn(async move {
            let answer = prober.probe(peer, Height::new(1)).await;
            // Reputation that is gone has aborted its checks.
            let _ = myself.cast(ReputationMsg::Checked { peer, answer });
        });
    }
    if *banned != state.told.banned {
        state.storing.hurry();
    }
    if state.storing.is_due(now) {
        let changes = state.book.take_changes();
        state.storing.store(now, changes, myself, &mut state.tasks);
    }
    if tick {
        ask_others(state);
        settle_what_is_open(myself, state);
    }
}

/// Has the chain asked for what became of heights that questions are open of.
fn settle_what_is_open(myself: &ActorRef<ReputationMsg>, state: &mut State) {
    let heights = state.book.unsettled();
    if state.settling || heights.is_empty() {
        return;
    }
    state.settling = true;
    let wanted = move |head: Height| heights.into_iter().filter(|at| *at <= head).collect();
    settle(Arc::clone(&state.args.chain), wanted, myself.clone(), &mut state.tasks);
}

/// Passes on what changed; siblings that are down ask when they are back.
fn tell(state: &mut State, banned: BTreeSet<PeerId>, show: bool) {
    let now = state.now();
    let usable = state.book.usable();
    let before = &state.told;
    // Who may be asked matters at once, a change of score can wait for the next tick.
    let others = banned != before.banned || !usable.keys().eq(before.usable.keys());
    let news = others || (show && usable != before.usable);
    if news && state.args.scheduler.usable_peers(usable.clone(), banned.clone()).is_ok() {
        state.told.usable = usable;
        state.told.banned = banned;
    }
    let refused = state.book.refused(now);
    if refused != state.told.refused && state.args.network.refuse(refused.clone()).is_ok() {
        state.told.refused = refused;
    }
    if show {
        let link_cut = state.link.cut(state.args.clock.now());
        let view = PeerView { link_cut, ..state.book.view() };
        let _ = state.args.coordinator.peers_changed(view);
    }
}

impl Evidence {
    /// Whether a request ended, and as on a dead link.
    fn ends_a_request(&self) -> Option<bool> {
        match self {
            Self::Replied(_) => Some(false),
            Self::Failed(_) => Some(self.may_be_our_link()),
            Self::Delivered { .. }
            | Self::Lied(_)
            | Self::Useless(_)
            | Self::NotLinked { .. }
            | Self::Misused { .. } => None,
        }
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
