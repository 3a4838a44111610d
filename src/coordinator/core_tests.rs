use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::{
    resilience::ProvenBlock,
    selection::{SelectionSettings, Standing},
    types::{BlockRoot, PeerId},
};

const SECOND: Duration = Duration::from_secs(1);
const OURS: BlockRoot = BlockRoot::new([1; 32]);

fn h(number: u64) -> Height {
    Height::new(number)
}

fn block(height: u64) -> BlockRef {
    BlockRef { height: h(height), root: BlockRoot::new([7; 32]) }
}

/// A coordinator whose peers hold chains of given heights and answer probes at once.
struct World {
    core: Core,
    now: Duration,
    heads: BTreeMap<PeerId, u64>,
    window: Option<(Height, Height)>,
}

impl World {
    fn new(heads: &[u64]) -> Self {
        Self::with(DiscoverySettings::default(), heads)
    }

    fn with(settings: DiscoverySettings, heads: &[u64]) -> Self {
        let selector = Selector::new(SelectionSettings::default(), 1);
        let heads: BTreeMap<_, _> = heads.iter().map(|head| (PeerId::random(), *head)).collect();
        let mut world = Self {
            core: Core::new(settings, selector, OURS, block(0), 1),
            now: SECOND,
            heads,
            window: None,
        };
        world.peers();
        world
    }

    fn peers(&mut self) {
        let usable = self.heads.keys().map(|peer| (*peer, Standing::default())).collect();
        self.event(Event::Peers { view: PeerView { usable, ..PeerView::default() } });
    }

    fn command(&mut self, command: Command) -> Result<(), Refused> {
        let effects = self.core.command(self.now, command)?;
        self.perform(effects);
        Ok(())
    }

    fn start(&mut self, target: Option<u64>) {
        self.command(Command::Start { target: target.map(h) }).unwrap();
    }

    fn event(&mut self, event: Event) {
        let effects = self.core.apply(self.now, event);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects: VecDeque<_> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::SetWindow { next, last } => self.window = Some((next, last)),
                Effect::CloseWindow => self.window = None,
                Effect::Probe { peer, height } => {
                    let answer = match self.heads.get(&peer) {
                        Some(head) if height.get() <= *head => ProbeAnswer::Block(ProvenBlock {
                            height,
                            root: BlockRoot::ZERO,
                            parent: BlockRoot::ZERO,
                        }),
                        _ => ProbeAnswer::Nothing,
                    };
                    let probed = Event::Probed { peer, height, answer };
                    effects.extend(self.core.apply(self.now, probed));
                }
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.now += SECOND / 10;
            self.event(Event::Tick);
        }
    }

    fn import(&mut self, height: u64) {
        self.event(Event::Imported { head: block(height) });
    }

    fn phase(&self) -> &'static str {
        self.core.phase().name()
    }
}

#[test]
fn finds_the_height_of_the_network_downloads_to_it_and_is_synced_when_nobody_has_more() {
    let mut world = World::new(&[5_000, 4_000]);
    world.start(None);
    assert_eq!(world.window, Some((h(1), h(5_000))));
    assert_eq!(world.phase(), "downloading_blocks");
    world.import(4_990);
    assert_eq!(world.phase(), "catching_up");
    world.pass(1);
    world.import(5_000);
    assert_eq!(world.phase(), "synced");
}

#[test]
fn nobody_is_synced_before_other_peers_had_the_time_to_prove_more() {
    // The first peer to be usable is stale, and its few blocks are soon imported.
    let mut world = World::new(&[300]);
    world.start(None);
    world.import(300);
    assert_eq!(world.phase(), "catching_up");
    // One that is still being checked is waited for, but not for ever.
    let usable = world.heads.keys().map(|peer| (*peer, Standing::default())).collect();
    let checking = PeerView { usable, checking: 1, ..PeerView::default() };
    world.event(Event::Peers { view: checking.clone() });
    world.pass(3);
    assert_eq!(world.phase(), "catching_up");
    world.pass(2);
    assert_eq!(world.phase(), "synced");
    // Who is synced stays it, whoever comes.
    world.event(Event::Peers { view: checking });
    world.pass(1);
    assert_eq!(world.phase(), "synced");
    world.heads.insert(PeerId::random(), 1_200);
    world.peers();
    world.pass(2);
    assert_eq!(world.window, Some((h(301), h(1_200))));
}

#[test]
fn peer_that_came_after_the_first_round_is_asked_before_anybody_is_synced() {
    // One that serves only the block that we have, and one that is checked a moment later.
    let mut world = World::new(&[1]);
    world.start(None);
    world.import(1);
    world.now += SECOND / 10;
    world.heads.insert(PeerId::random(), 5_000);
    world.peers();
    // No tick comes before the settling time is over: only then is there another round.
    world.now += 2 * SECOND;
    let effects = world.core.apply(world.now, Event::Tick);
    assert_eq!(world.phase(), "catching_up");
    world.perform(effects);
    assert_eq!(world.window, Some((h(2), h(5_000))));
}

#[test]
fn empty_replies_alone_never_mean_synced() {
    let mut world = World::new(&[]);
    world.start(None);
    world.import(100);
    world.heads.insert(PeerId::random(), 0);
    world.peers();
    world.pass(20);
    assert_ne!(world.phase(), "synced", "a peer without our head proved nothing");
}

#[test]
fn new_node_among_new_nodes_is_synced_at_genesis_after_some_rounds() {
    let mut world = World::new(&[0, 0]);
    world.start(None);
    assert_eq!(world.phase(), "discovering");
    world.pass(5);
    assert_eq!(world.phase(), "synced");
}

#[test]
fn network_that_grew_is_followed_without_a_command() {
    let mut world = World::new(&[10]);
    world.start(None);
    world.import(10);
    world.pass(1);
    assert_eq!(world.phase(), "synced");
    world.heads.values_mut().for_each(|head| *head = 500);
    world.pass(2);
    assert_eq!(world.phase(), "downloading_blocks");
    assert_eq!(world.window, Some((h(11), h(500))));
}

#[test]
fn given_target_is_neither_searched_beyond_nor_missed() {
    let mut world = World::new(&[5_000]);
    world.start(Some(300));
    assert_eq!(world.window, Some((h(1), h(300))));
    world.import(300);
    assert_eq!(world.phase(), "synced");
    world.pass(10);
    assert_eq!(world.core.target(), h(300));
}

#[test]
fn fails_without_peers_and_goes_on_as_soon_as_there_is_one() {
    let mut world = World::new(&[]);
    world.start(None);
    world.pass(29);
    assert_eq!(world.phase(), "discovering");
    world.pass(2);
    assert!(matches!(
        world.core.phase(),
        Phase::Failed { reason: FailureReason::NoUsablePeer { attempts: 30, banned: 0 }, .. }
    ));
    world.heads.insert(PeerId::random(), 50);
    world.peers();
    assert_eq!(world.phase(), "downloading_blocks");
}

#[test]
fn only_peers_found_invalid_points_at_the_rules() {
    let mut world = World::new(&[]);
    world.start(None);
    world.event(Event::Peers { view: PeerView { banned: 2, ..PeerView::default() } });
    world.pass(31);
    let Phase::Failed { reason, .. } = world.core.phase() else { panic!("{}", world.phase()) };
    let text = reason.to_string();
    assert!(text.contains("2 were found") && text.contains("--chain-spec"), "{text}");
}

#[test]
fn failed_sync_tries_again_and_waits_longer_each_time() {
    let mut world = World::new(&[]);
    world.start(None);
    world.pass(31);
    assert_eq!(world.phase(), "failed");
    world.pass(61);
    assert_eq!(world.phase(), "discovering");
    world.pass(31);
    assert_eq!(world.phase(), "failed");
    world.pass(59);
    assert_eq!(world.phase(), "failed", "half of twice the pause is left to chance");
    world.pass(62);
    assert_eq!(world.phase(), "discovering");
}

#[test]
fn target_that_was_proven_before_a_restart_is_downloaded_without_being_proven_again() {
    let mut world = World::new(&[100]);
    let settings = DiscoverySettings::default();
    let selector = Selector::new(SelectionSettings::default(), 1);
    world.core = Core::new(settings, selector, OURS, block(40), 1).knowing(h(100));
    let usable: BTreeMap<_, _> =
        world.heads.keys().map(|peer| (*peer, Standing::default())).collect();
    let view = PeerView { usable, ..PeerView::default() };
    let mut effects = world.core.apply(world.now, Event::Peers { view });
    effects.extend(world.core.command(world.now, Command::Start { target: None }).unwrap());
    assert!(effects.contains(&Effect::SetWindow { next: h(41), last: h(100) }), "{effects:?}");
    assert_eq!(world.phase(), "downloading_blocks");
}

/// Lets time pass until the sync has failed for good; how often it tried again.
fn fail_for_good(world: &mut World) -> u32 {
    for _ in 0..3_600 {
        if let Phase::Failed { failures, retry_at: None, .. } = world.core.phase() {
            return failures - 1;
        }
        world.pass(1);
    }
    panic!("it tries for ever");
}

#[test]
fn failed_sync_tries_again_so_often_and_then_waits_for_another_peer() {
    let mut world = World::new(&[]);
    world.start(None);
    assert_eq!(fail_for_good(&mut world), 5);
    world.pass(100_000);
    assert_eq!(world.phase(), "failed");
    world.heads.insert(PeerId::random(), 50);
    world.peers();
    assert_eq!(world.phase(), "downloading_blocks");
    world.heads.clear();
    world.peers();
    world.pass(6 + 31);
    let again = |phase: &Phase| matches!(phase, Phase::Failed { failures: 1, .. });
    assert!(again(world.core.phase()), "what went well in between counts: {}", world.phase());
}

#[test]
fn sync_that_diverges_again_and_again_waits_longer_and_then_for_an_operator_or_a_peer() {
    let mut world = World::new(&[5_000]);
    world.start(None);
    world.import(4_000);
    let peer = *world.heads.keys().next().unwrap();
    let mut tried_at = Vec::new();
    let waits_for_good = |phase: &Phase| matches!(phase, Phase::Failed { retry_at: None, .. });
    while !waits_for_good(world.core.phase()) {
        if world.phase() == "downloading_blocks" {
            world.event(Event::ImportRefused { at: h(4_001), peer });
            tried_at.push(world.now);
        }
        world.pass(1);
        assert!(world.now < Duration::from_secs(100_000), "it tries for ever");
    }
    assert_eq!(tried_at.len(), 6);
    assert!(tried_at[5] - tried_at[4] > 2 * (tried_at[1] - tried_at[0]), "{tried_at:?}");
    // Somebody who was not there may know the way.
    world.heads.insert(PeerId::random(), 5_000);
    world.peers();
    assert_eq!(world.phase(), "downloading_blocks");
    // The chain gets on: what comes then is a failure of its own.
    world.import(4_001);
    world.pass(1);
    for peer in world.heads.keys().copied().collect::<Vec<_>>() {
        world.event(Event::ImportRefused { at: h(4_002), peer });
    }
    assert!(matches!(world.core.phase(), Phase::Failed { failures: 1, .. }), "{}", world.phase());
}

#[test]
fn failed_sync_that_waits_for_good_is_resumed_by_an_operator() {
    let mut world = World::new(&[]);
    world.start(None);
    fail_for_good(&mut world);
    world.command(Command::Resume).unwrap();
    assert_eq!(world.phase(), "discovering");
    assert_eq!(fail_for_good(&mut world), 5, "it may try as often as at first");
}

#[test]
fn sync_that_is_not_to_recover_by_itself_fails_once() {
    let settings = DiscoverySettings { recovery_attempts_max: 0, ..DiscoverySettings::default() };
    let mut world = World::with(settings, &[]);
    world.start(None);
    assert_eq!(fail_for_good(&mut world), 0);
}

#[test]
fn failed_sync_names_the_last_good_block() {
    let mut world = World::new(&[100]);
    world.start(None);
    world.import(40);
    let peer = *world.heads.keys().next().unwrap();
    world.event(Event::ImportRefused { at: h(41), peer });
    let Phase::Failed { head, .. } = world.core.phase() else { panic!("{}", world.phase()) };
    assert_eq!(*head, h(40));
}

#[test]
fn only_strangers_found_is_told_soon_with_both_roots() {
    let mut world = World::new(&[]);
    world.start(None);
    let theirs = BlockRoot::new([9; 32]);
    let other_chain = Some((PeerId::random(), theirs));
    world.event(Event::Peers { view: PeerView { other_chain, ..PeerView::default() } });
    world.pass(4);
    let Phase::Failed { reason, .. } = world.core.phase() else { panic!("{}", world.phase()) };
    let text = reason.to_string();
    assert!(text.contains(&theirs.to_string()) && text.contains(&OURS.to_string()), "{text}");
}

#[test]
fn alone_for_long_is_discovering_again() {
    let mut world = World::new(&[100]);
    world.start(None);
    world.heads.clear();
    world.peers();
    world.pass(4);
    assert_eq!(world.phase(), "downloading_blocks");
    world.pass(2);
    assert_eq!(world.phase(), "discovering");
}

#[test]
fn block_that_no_peer_can_link_fails_the_sync_and_a_new_peer_revives_it() {
    let mut world = World::new(&[100, 100]);
    world.start(None);
    let peers: Vec<_> = world.heads.keys().copied().collect();
    world.event(Event::ImportRefused { at: h(1), peer: peers[0] });
    assert_eq!(world.phase(), "downloading_blocks");
    world.event(Event::ImportRefused { at: h(1), peer: peers[1] });
    assert!(matches!(
        world.core.phase(),
        Phase::Failed { reason: FailureReason::Diverged { .. }, .. }
    ));
    assert_eq!(world.window, None);
    world.heads.insert(PeerId::random(), 100);
    world.peers();
    assert_eq!(world.phase(), "downloading_blocks");
}

#[test]
fn paused_sync_asks_for_nothing_and_resumes() {
    let mut world = World::new(&[100]);
    world.start(None);
    world.command(Command::Pause).unwrap();
    assert_eq!((world.phase(), world.window), ("paused", None));
    world.pass(5);
    assert_eq!(world.window, None);
    world.command(Command::Resume).unwrap();
    assert_eq!(world.window, Some((h(1), h(100))));
}

#[test]
fn scheduler_that_restarted_gets_its_window_again() {
    let mut world = World::new(&[100]);
    world.start(None);
    world.import(40);
    world.window = None;
    world.event(Event::SchedulerStarted);
    assert_eq!(world.window, Some((h(41), h(100))));
}

#[test]
fn command_that_makes_no_sense_changes_nothing_and_says_what_would() {
    let mut world = World::new(&[100]);
    for command in [Command::Pause, Command::Resume, Command::Stop] {
        let refused = world.command(command).unwrap_err();
        assert_eq!(refused.phase, "idle");
        assert_eq!(world.phase(), "idle");
    }
    world.start(None);
    let before = world.phase();
    for command in [Command::Start { target: None }, Command::Resume] {
        assert!(world.command(command).is_err());
        assert_eq!(world.phase(), before);
    }
    world.command(Command::Pause).unwrap();
    for command in [Command::Start { target: None }, Command::Pause] {
        assert!(world.command(command).is_err());
    }
    world.command(Command::Stop).unwrap();
    assert_eq!(world.phase(), "idle");
}

/// A sync whose chain of 5,000 blocks is set back to 3,000.
fn set_back(world: &mut World) -> Vec<Effect> {
    let effects = world.core.apply(world.now, Event::SetBack { head: block(3_000) });
    world.perform(effects.clone());
    effects
}

#[test]
fn synced_node_that_was_set_back_downloads_again_what_the_network_has() {
    let mut world = World::new(&[5_000]);
    world.start(None);
    world.import(5_000);
    world.pass(1);
    assert_eq!(world.phase(), "synced");
    let effects = set_back(&mut world);
    // It also undoes a window that was under way to the scheduler.
    assert_eq!(effects[0], Effect::CloseWindow);
    assert_eq!(world.window, Some((h(3_001), h(5_000))), "once that is proven anew");
    assert_eq!((world.phase(), world.core.head()), ("downloading_blocks", block(3_000)));
    world.import(5_000);
    assert_eq!(world.phase(), "catching_up", "whether it is all there is has to be asked again");
    world.pass(1);
    assert_eq!(world.phase(), "synced");
}

#[test]
fn node_that_leaves_a_fork_longer_than_the_network_is_synced_where_that_ends() {
    // It followed a fork to 600, as its peers did; the others are at 560.
    let mut world = World::new(&[600]);
    world.start(None);
    world.import(600);
    world.pass(1);
    assert_eq!(world.phase(), "synced");
    world.heads.values_mut().for_each(|head| *head = 560);
    world.event(Event::SetBack { head: block(500) });
    world.pass(1);
    assert_eq!(world.window, Some((h(501), h(560))));
    world.import(560);
    world.pass(1);
    assert_eq!((world.phase(), world.core.target()), ("synced", h(560)));
}

#[test]
fn paused_and_idle_nodes_that_are_set_back_stay_so() {
    let mut world = World::new(&[5_000]);
    world.start(None);
    world.import(5_000);
    world.command(Command::Pause).unwrap();
    assert_eq!(set_back(&mut world), []);
    assert_eq!((world.phase(), world.window), ("paused", None));
    world.command(Command::Resume).unwrap();
    assert_eq!(world.window, Some((h(3_001), h(5_000))));
    world.command(Command::Stop).unwrap();
    world.import(4_000);
    assert_eq!(set_back(&mut world), []);
    assert_eq!((world.phase(), world.core.head()), ("idle", block(3_000)));
}

#[test]
fn failed_sync_that_was_set_back_tries_anew() {
    let mut world = World::new(&[5_000]);
    world.start(None);
    world.import(4_000);
    let peer = *world.heads.keys().next().unwrap();
    world.event(Event::ImportRefused { at: h(4_001), peer });
    assert_eq!(world.phase(), "failed");
    set_back(&mut world);
    assert_eq!(world.phase(), "downloading_blocks");
    assert_eq!(world.window, Some((h(3_001), h(5_000))));
    // The block that did not fit may fit now; if not, it is the first failure.
    world.event(Event::ImportRefused { at: h(4_001), peer });
    let Phase::Failed { failures, .. } = world.core.phase() else { panic!("{}", world.phase()) };
    assert_eq!(*failures, 1);
}

#[test]
fn given_target_below_the_checkpoint_is_reached_and_one_above_is_gone_to_again() {
    for (given, window) in [(2_000, None), (4_500, Some((h(3_001), h(4_500))))] {
        let mut world = World::new(&[5_000]);
        world.start(Some(given));
        world.import(4_800);
        world.pass(1);
        assert_eq!(world.phase(), "synced");
        set_back(&mut world);
        world.pass(1);
        assert_eq!(world.window, window);
    }
}

#[test]
fn lower_head_that_a_new_importer_reads_is_that_of_a_chain_that_was_set_back() {
    let mut world = World::new(&[5_000]);
    world.start(None);
    world.import(5_000);
    world.pass(1);
    world.event(Event::HeadRead { head: block(5_000) });
    assert_eq!(world.phase(), "synced");
    world.event(Event::HeadRead { head: block(3_000) });
    assert_eq!(world.phase(), "downloading_blocks");
    assert_eq!(world.window, Some((h(3_001), h(5_000))));
}
