//! The decisions of the coordinator. Events come in with the time they happened, effects go out.
//! No clock, no entropy, no I/O.

use std::{collections::BTreeSet, time::Duration};

use super::{
    message::Command,
    phase::{FailureReason, Phase, Refused},
    search::{HeightSearch, Reach},
    searches::{SearchStep, Searches},
};
use crate::{
    config::DiscoverySettings,
    ports::RequestError,
    reputation::PeerView,
    resilience::{Pauses, ProbeAnswer, SYNC_AGAIN},
    selection::Selector,
    types::{BlockRef, BlockRoot, Height, PeerId},
};

/// Looks for a higher head while far behind, once in so many intervals: the target need not be
/// exact before it is near.
const FAR_SEARCH_INTERVALS: u32 = 10;
/// Attempts after which a chain that only strangers were found for is failed. Too low: the right
/// peer, dialled second, comes too late. Too high: a wrong --genesis is told late.
const OTHER_CHAIN_ATTEMPTS: u32 = 3;
/// Rounds in which nobody has block 1 before a node at genesis is called synced: an empty reply
/// proves nothing, and at genesis there is no block of ours a peer could prove itself with.
const GENESIS_ROUNDS: u32 = 3;
/// Intervals without a usable peer after which an active sync is discovering again. Too low: a
/// restart of the network shows. Too high: a node that is alone still shows a speed.
const ALONE_INTERVALS: u32 = 5;
/// Intervals after the first usable peer before which no node is called synced: others are still
/// connecting, and the first may be behind. Too low: a node that begins with a stale peer is
/// called synced, and may produce. Too high: a short sync takes that much longer.
const SETTLE_INTERVALS: u32 = 1;
/// Intervals after which peers that are still being checked or asked hold nothing up: a hostile
/// one could do that for ever. Too low: as above. Too high: such a peer delays production.
const SETTLE_INTERVALS_MAX: u32 = 5;

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The head, as the importer read it.
    HeadRead { head: BlockRef },
    /// The chain was set back.
    SetBack { head: BlockRef },
    /// Blocks were imported.
    Imported { head: BlockRef },
    /// The peers changed.
    Peers { view: PeerView },
    /// A probe was answered.
    Probed { peer: PeerId, height: Height, answer: ProbeAnswer },
    /// A majority-signed block of `peer` does not continue our chain.
    ImportRefused { at: Height, peer: PeerId },
    /// The scheduler knows no window.
    SchedulerStarted,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Blocks from `next` to `last` are needed.
    SetWindow { next: Height, last: Height },
    /// No blocks are needed.
    CloseWindow,
    /// Ask `peer` for the block at `height`. Answered by [`Event::Probed`].
    Probe { peer: PeerId, height: Height },
}

/// The coordinator's state.
pub(super) struct Core {
    settings: DiscoverySettings,
    genesis: BlockRoot,
    phase: Phase,
    head: BlockRef,
    /// Highest height proven by a majority-signed block.
    proven: Height,
    /// Given by an operator.
    given: Option<Height>,
    peers: PeerView,
    searches: Searches,
    /// Peers that had nothing above this head.
    confirmed_by: (Height, u32),
    refused: (Height, BTreeSet<PeerId>),
    next_search: Duration,
    next_attempt: Duration,
    /// The head at the last round of searches.
    searched_at: Option<Height>,
    /// Whether a peer came since the last round of searches.
    unasked: bool,
    /// Since when there is a usable peer.
    met_at: Option<Duration>,
    /// Since when there is no usable peer.
    alone_since: Option<Duration>,
    failures: u32,
    /// Where the head was when our chain was found to diverge: until it gets on from there, each
    /// failure is one more of the same.
    diverged_at: Option<Height>,
    pauses: Pauses,
    last_answer: Option<Duration>,
    window: Option<Height>,
}

impl Core {
    pub(super) fn new(
        settings: DiscoverySettings,
        selector: Selector,
        genesis: BlockRoot,
        head: BlockRef,
        seed: u64,
    ) -> Self {
        Self {
            pauses: Pauses::new(settings.retry_first, SYNC_AGAIN.longest, seed),
            settings,
            genesis,
            phase: Phase::Idle,
            head,
            proven: Height::GENESIS,
            given: None,
            peers: PeerView::default(),
            searches: Searches::new(selector),
            confirmed_by: (head.height, 0),
            refused: (Height::GENESIS, BTreeSet::new()),
            next_search: Duration::ZERO,
            next_attempt: Duration::ZERO,
            searched_at: None,
            unasked: false,
            met_at: None,
            alone_since: None,
            failures: 0,
            diverged_at: None,
            last_answer: None,
            window: None,
        }
    }

    /// The same after a restart: a majority-signed block proved this height before.
    pub(super) fn knowing(self, proven: Height) -> Self {
        Self { proven, ..self }
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(super) fn head(&self) -> BlockRef {
        self.head
    }

    pub(super) fn given(&self) -> Option<Height> {
        self.given
    }

    pub(super) fn peers(&self) -> &PeerView {
        &self.peers
    }

    pub(super) fn last_answer(&self) -> Option<Duration> {
        self.last_answer
    }

    /// Where to: what was given, else what was proven, never below the head.
    pub(super) fn target(&self) -> Height {
        self.given.unwrap_or(self.proven).max(self.head.height)
    }

    /// Does what an operator asked.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed, where it makes no sense now.
    pub(super) fn command(
        &mut self,
        now: Duration,
        command: Command,
    ) -> Result<Vec<Effect>, Refused> {
        let phase = self.phase.name();
        let refuse = |command, fix| Err(Refused { command, phase, fix });
        match (command, &self.phase) {
            (Command::Start { target }, Phase::Idle) => {
                self.given = target;
                self.count_anew();
                self.discover(now);
            }
            (Command::Start { .. }, Phase::Paused) => {
                return refuse("start", "resume it, or stop it first");
            }
            (Command::Start { .. }, _) => return refuse("start", "it is running; stop it first"),
            (Command::Pause, phase)
                if phase.is_active() || matches!(phase, Phase::Failed { .. }) =>
            {
                self.phase = Phase::Paused;
            }
            (Command::Pause, _) => return refuse("pause", "only a running sync can be paused"),
            (Command::Resume, Phase::Paused | Phase::Failed { .. }) => {
                self.count_anew();
                self.discover(now);
            }
            (Command::Resume, _) => {
                return refuse("resume", "only a paused or failed sync can be resumed");
            }
            (Command::Stop, Phase::Idle) => return refuse("stop", "it is not running"),
            (Command::Stop, _) => self.phase = Phase::Idle,
        }
        Ok(self.follow(now))
    }

    /// Takes in what happened.
    pub(super) fn apply(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            // An importer that died at it could not say that it set the chain back.
            Event::HeadRead { head } if head.height >= self.head.height => self.head = head,
            Event::HeadRead { head } | Event::SetBack { head } => {
                effects.extend(self.set_back(now, head));
            }
            Event::Imported { head } => {
                self.head = head;
                self.last_answer = Some(now);
            }
            Event::Peers { view } => {
                self.searches.peers_changed(now, &self.peers.usable, &view.usable);
                self.unasked |= view.usable.keys().any(|p| !self.peers.usable.contains_key(p));
                self.peers = view;
                self.peers_changed(now);
            }
            Event::Probed { peer, height, answer } => {
                effects.extend(self.probed(now, peer, height, answer));
            }
            Event::ImportRefused { at, peer } => self.refused(now, at, peer),
            Event::SchedulerStarted => self.window = None,
            Event::Tick => self.tick(now),
        }
        effects.extend(self.follow(now));
        effects
    }

    fn peers_changed(&mut self, now: Duration) {
        let usable = &self.peers.usable;
        if usable.is_empty() {
            self.alone_since.get_or_insert(now);
            return;
        }
        self.alone_since = None;
        self.met_at.get_or_insert(now);
        if let Phase::Failed { reason, .. } = &self.phase {
            let helps = match reason {
                FailureReason::NoUsablePeer { .. } | FailureReason::OtherChain { .. } => true,
                FailureReason::Diverged { .. } => {
                    usable.keys().any(|peer| !self.refused.1.contains(peer))
                }
            };
            if helps {
                self.discover(now);
            }
        }
    }

    fn discover(&mut self, now: Duration) {
        self.phase = Phase::Discovering { attempts: 0 };
        self.next_attempt = now + self.settings.interval;
        self.next_search = now;
        self.searched_at = None;
        self.searches.clear();
        self.refused.1.clear();
        self.confirmed_by.1 = 0;
        self.met_at = (!self.peers.usable.is_empty()).then_some(now);
    }

    /// Goes on from `head` as it was told. What is above has to be proven anew, as it may have been
    /// proven by a fork that was left; what was tried with it does not count any more.
    fn set_back(&mut self, now: Duration, head: BlockRef) -> Option<Effect> {
        self.head = head;
        self.proven = head.height;
        self.count_anew();
        if self.phase.is_active() || matches!(self.phase, Phase::Failed { .. }) {
            self.discover(now);
        }
        // A window of before may be on its way to the scheduler: the next one is a fresh one.
        self.window.take().map(|_| Effect::CloseWindow)
    }

    fn tick(&mut self, now: Duration) {
        let alone = self.is_alone(now);
        match &mut self.phase {
            Phase::Failed { retry_at: Some(at), .. } if now >= *at => self.discover(now),
            Phase::Discovering { attempts } if now >= self.next_attempt => {
                *attempts += 1;
                let attempts = *attempts;
                self.next_attempt = now + self.settings.interval;
                self.give_up(now, attempts);
            }
            Phase::DownloadingBlocks { .. } | Phase::CatchingUp { .. } | Phase::Synced { .. }
                if alone =>
            {
                self.discover(now);
            }
            Phase::Failed { .. }
            | Phase::Discovering { .. }
            | Phase::Idle
            | Phase::DownloadingBlocks { .. }
            | Phase::CatchingUp { .. }
            | Phase::Synced { .. }
            | Phase::Paused => {}
        }
    }

    fn is_alone(&self, now: Duration) -> bool {
        let long = self.settings.interval * ALONE_INTERVALS;
        self.given != Some(self.head.height)
            && self.alone_since.is_some_and(|since| now.saturating_sub(since) >= long)
    }

    fn give_up(&mut self, now: Duration, attempts: u32) {
        if !self.peers.usable.is_empty() {
            return;
        }
        if let Some((peer, theirs)) = self.peers.other_chain
            && self.peers.checking == 0
            && attempts >= OTHER_CHAIN_ATTEMPTS
        {
            let (peer, ours) = (peer.to_string(), self.genesis);
            self.fail(now, FailureReason::OtherChain { peer, theirs, ours });
        } else if attempts >= self.settings.attempts_max {
            let banned = self.peers.banned;
            self.fail(now, FailureReason::NoUsablePeer { attempts, banned });
        }
    }

    /// What comes is no failure of before.
    fn count_anew(&mut self) {
        (self.failures, self.diverged_at) = (0, None);
    }

    fn fail(&mut self, now: Duration, reason: FailureReason) {
        let retries = self.failures < self.settings.recovery_attempts_max;
        let retry_at =
            retries.then(|| now.saturating_add(self.pauses.after(self.failures as usize)));
        self.failures = self.failures.saturating_add(1);
        if matches!(reason, FailureReason::Diverged { .. }) {
            self.diverged_at = Some(self.head.height);
        }
        let (head, failures) = (self.head.height, self.failures);
        self.phase = Phase::Failed { reason, head, failures, retry_at };
    }

    fn refused(&mut self, now: Duration, at: Height, peer: PeerId) {
        if self.refused.0 != at {
            self.refused = (at, BTreeSet::new());
        }
        self.refused.1.insert(peer);
        let all = self.peers.usable.keys().all(|peer| self.refused.1.contains(peer));
        if self.phase.is_active() && all {
            self.fail(now, FailureReason::Diverged { at });
        }
    }

    fn probed(
        &mut self,
        now: Duration,
        peer: PeerId,
        height: Height,
        answer: ProbeAnswer,
    ) -> Vec<Effect> {
        if !self.searches.contains(peer) {
            return Vec::new();
        }
        let served = match answer {
            ProbeAnswer::Block(block) if block.height == height => {
                self.proven = self.proven.max(height);
                true
            }
            ProbeAnswer::Nothing => false,
            ProbeAnswer::Block(_)
            | ProbeAnswer::Fault { .. }
            | ProbeAnswer::Failed(_)
            | ProbeAnswer::NoVerdict => {
                // Nothing was learned of its chain: the next round asks again.
                self.searches.abandon(peer, is_failure_of_peer(&answer));
                return Vec::new();
            }
        };
        self.last_answer = Some(now);
        match self.searches.answered(now, peer, (height, served), self.proven) {
            SearchStep::Waits => Vec::new(),
            SearchStep::Round(round) => probes(peer, round),
            SearchStep::Over(reach) => {
                let head = self.head.height;
                let at_head = match reach {
                    Reach::Exactly(found) => found == head,
                    Reach::Nothing => head == Height::GENESIS,
                };
                if at_head {
                    self.confirm(head);
                }
                Vec::new()
            }
        }
    }

    fn confirm(&mut self, head: Height) {
        if self.confirmed_by.0 != head {
            self.confirmed_by = (head, 0);
        }
        self.confirmed_by.1 += 1;
    }

    /// Whether a peer that has our head has nothing above it, and others had the time to say so.
    fn confirmed(&self, now: Duration) -> bool {
        let (head, times) = self.confirmed_by;
        let needed = if head == Height::GENESIS { GENESIS_ROUNDS } else { 1 };
        let at_head = head == self.head.height && times >= needed;
        self.given.is_some() || (at_head && self.settled(now))
    }

    /// Whether whoever is near has been asked. A node that was called synced stays it.
    fn settled(&self, now: Duration) -> bool {
        let quiet = self.searches.is_empty() && self.peers.checking == 0 && !self.unasked;
        let intervals = if quiet { SETTLE_INTERVALS } else { SETTLE_INTERVALS_MAX };
        let waited = self.met_at.map_or(Duration::ZERO, |met_at| now.saturating_sub(met_at));
        matches!(self.phase, Phase::Synced { .. }) || waited >= self.settings.interval * intervals
    }

    /// What the present state asks for: the phase, the window and the searches.
    fn follow(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.phase.is_active() {
            self.searches.clear();
            if self.window.take().is_some() {
                effects.push(Effect::CloseWindow);
            }
            return effects;
        }
        let target = self.target();
        let confirmed = self.confirmed(now);
        let ready = target > self.head.height || confirmed;
        let discovering = matches!(self.phase, Phase::Discovering { .. });
        let done = self.given.is_some_and(|given| given <= self.head.height);
        if ready && (done || !discovering || !self.peers.usable.is_empty()) {
            self.phase = Phase::between(self.head.height, target, confirmed);
            // A peer is what was missing, or it offers what was refused before.
            let got_on = self.diverged_at.is_none_or(|at| self.head.height > at);
            if got_on || matches!(self.phase, Phase::Synced { .. }) {
                self.count_anew();
            }
        } else if matches!(self.phase, Phase::DownloadingBlocks { .. }) {
            // All that is known is there; whether it is all there is will be known soon.
            self.phase = Phase::CatchingUp { target };
        }
        if target > self.head.height
            && self.window.is_none_or(|last| last < target)
            && let Some(next) = self.head.height.next()
        {
            effects.push(Effect::SetWindow { next, last: target });
            self.window = Some(target);
        }
        effects.extend(self.search(now));
        effects
    }

    fn search(&mut self, now: Duration) -> Vec<Effect> {
        // At the target nothing is in the way of a look above it.
        let arrived = self.target() == self.head.height
            && self.searched_at != Some(self.head.height)
            && self.searches.is_empty();
        let due = arrived || now >= self.next_search;
        if self.given.is_some() || !due || self.peers.usable.is_empty() {
            return Vec::new();
        }
        self.searched_at = Some(self.head.height);
        self.unasked = false;
        let far = matches!(self.phase, Phase::DownloadingBlocks { .. });
        let intervals = if far { FAR_SEARCH_INTERVALS } else { 1 };
        self.next_search = now + self.settings.interval * intervals;
        let from = self.target().max(Height::new(1));
        let search = if matches!(self.phase, Phase::Discovering { .. }) {
            HeightSearch::far(from)
        } else {
            HeightSearch::near(from)
        };
        let begun =
            self.searches.begin(now, &self.peers.usable, self.settings.probe_peers, &search);
        begun.into_iter().flat_map(|(peer, round)| probes(peer, round)).collect()
    }
}

/// Whether a peer is to blame that a probe told nothing; not for what our own limits kept back.
fn is_failure_of_peer(answer: &ProbeAnswer) -> bool {
    match answer {
        ProbeAnswer::Block(_) | ProbeAnswer::Fault { .. } => true,
        ProbeAnswer::Failed(error) => matches!(
            error,
            RequestError::Refused { .. }
                | RequestError::Framing(_)
                | RequestError::TooManyBlocks { .. }
                | RequestError::Cut
                | RequestError::TimedOut { .. }
        ),
        ProbeAnswer::Nothing | ProbeAnswer::NoVerdict => false,
    }
}

fn probes(peer: PeerId, round: Vec<Height>) -> Vec<Effect> {
    round.into_iter().map(|height| Effect::Probe { peer, height }).collect()
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
