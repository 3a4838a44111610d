use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// The same peer for the same number; keys take long to make.
fn peer(number: u8) -> PeerId {
    static PEERS: OnceLock<Vec<PeerId>> = OnceLock::new();
    PEERS.get_or_init(|| (0..=u8::MAX).map(|_| PeerId::random()).collect())[usize::from(number)]
}

const PIECE: u64 = 128 * 1024;

/// The largest block. Unit: bytes.
const LARGEST: u64 = 1 << 20;

/// The queue with everything that was granted and is not over.
struct World {
    queue: FairQueue,
    reading: Vec<Turn>,
    /// Read something, which their streams have not taken.
    writing: Vec<Ticket>,
}

impl World {
    fn new(turns_max: usize) -> Self {
        let queue = FairQueue::new(turns_max, PIECE);
        Self { queue, reading: Vec::new(), writing: Vec::new() }
    }

    fn give_turns(&mut self) -> usize {
        let before = self.reading.len();
        while let Some(turn) = self.queue.next() {
            self.reading.push(turn);
        }
        self.reading.len() - before
    }

    fn peer_of(&self, ticket: Ticket) -> PeerId {
        self.queue.replies[&ticket].peer
    }

    /// What the queue keeps account of is what there is, within its limits; and no turn is free
    /// that somebody could use.
    fn check(&self) {
        let queue = &self.queue;
        assert_eq!(queue.turns, self.reading.len());
        assert!(queue.turns <= queue.turns_max);
        for (peer, line) in &queue.lines {
            let mine = || queue.replies.values().filter(|reply| reply.peer == *peer);
            let count = |wanted: fn(&Reply) -> bool| mine().filter(|reply| wanted(reply)).count();
            assert_eq!(line.replies, mine().count());
            assert_eq!(line.parked, count(|reply| matches!(reply.stage, Stage::Parked { .. })));
            assert_eq!(line.turns, count(|reply| matches!(reply.stage, Stage::Reading { .. })));
            assert_eq!(line.places, count(|reply| reply.has_place));
            assert_eq!(
                line.going_on.len() + line.new.len(),
                count(|reply| reply.stage == Stage::Waiting)
            );
            let held = |reply: &Reply| match reply.stage {
                Stage::Waiting => 0,
                Stage::Reading { bytes_max: held }
                | Stage::Writing { held }
                | Stage::Parked { held } => held,
            };
            assert_eq!(line.held, mine().map(held).sum::<u64>());
            assert!(line.replies - line.parked <= REQUESTS_OPEN_MAX);
            assert!(line.turns <= TURNS_PER_PEER && line.places <= PLACES_PER_PEER);
            assert!(line.held < HELD_BYTES_MAX + TURNS_PER_PEER as u64 * (PIECE + LARGEST));
            let could = line.is_backlogged() && line.turns < TURNS_PER_PEER;
            assert!(queue.turns == queue.turns_max || !could, "a turn is free that {peer} wants");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Join(u8),
    Read(usize, u64),
    Park(usize),
    Again(usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5_u8).prop_map(Step::Join),
        6 => (any::<usize>(), 0..LARGEST).prop_map(|(n, bytes)| Step::Read(n, bytes)),
        1 => any::<usize>().prop_map(Step::Park),
        4 => any::<usize>().prop_map(Step::Again),
        2 => any::<usize>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #[test]
    fn account_is_right_and_no_turn_stays_free_whatever_happens(
        turns_max in 1..6_usize,
        steps in steps(),
    ) {
        let mut world = World::new(turns_max);
        for step in steps {
            match step {
                Step::Join(who) => drop(world.queue.join(peer(who))),
                Step::Read(nth, bytes) if !world.reading.is_empty() => {
                    let nth = nth % world.reading.len();
                    let Turn { ticket, bytes_max } = world.reading.remove(nth);
                    // One block more than wanted, at most.
                    world.queue.has_read(ticket, bytes.min(bytes_max + LARGEST - 1));
                    world.writing.push(ticket);
                }
                Step::Park(nth) if !world.writing.is_empty() => {
                    let ticket = world.writing[nth % world.writing.len()];
                    world.queue.park(ticket, 4096);
                }
                Step::Again(nth) if !world.writing.is_empty() => {
                    let nth = nth % world.writing.len();
                    world.queue.again(world.writing.remove(nth));
                }
                Step::Leave(nth) if !world.queue.replies.is_empty() => {
                    let nth = nth % world.queue.replies.len();
                    let ticket = *world.queue.replies.keys().nth(nth).unwrap();
                    world.reading.retain(|turn| turn.ticket != ticket);
                    world.writing.retain(|writing| *writing != ticket);
                    world.queue.leave(ticket);
                }
                Step::Read(..) | Step::Park(_) | Step::Again(_) | Step::Leave(_) => {}
            }
            world.give_turns();
            world.check();
        }
        for ticket in world.queue.replies.keys().copied().collect::<Vec<_>>() {
            world.queue.leave(ticket);
        }
        prop_assert_eq!(world.queue.turns, 0);
        world.queue.forget_idle();
        prop_assert!(world.queue.lines.is_empty());
    }

    #[test]
    fn first_request_of_a_peer_is_among_the_next_though_others_have_hundreds(
        turns_max in 1..6_usize,
        greedy in 1..6_u8,
        rounds in 0..50_usize,
    ) {
        let mut world = World::new(turns_max);
        for who in 1..=greedy {
            for _ in 0..1_000 {
                world.queue.join(peer(who));
            }
        }
        world.give_turns();
        for _ in 0..rounds {
            let turn = world.reading.remove(0);
            world.queue.has_read(turn.ticket, turn.bytes_max);
            world.queue.again(turn.ticket);
            world.give_turns();
        }
        let newcomer = world.queue.join(peer(100)).unwrap();
        let mut granted = world.give_turns();
        while !world.reading.iter().any(|turn| turn.ticket == newcomer) {
            let turn = world.reading.remove(0);
            world.queue.has_read(turn.ticket, turn.bytes_max);
            world.queue.again(turn.ticket);
            granted += world.give_turns();
        }
        prop_assert!(granted <= usize::from(greedy) + 1, "{granted} turns");
    }
}

/// How a peer asks: how many requests it keeps open, of how many pieces each, and what a piece of
/// them brings.
#[derive(Debug, Clone, Copy)]
struct Asker {
    open: usize,
    pieces: usize,
    bytes: u64,
}

/// What each asker got in a while, where reading takes time by its bytes and nobody waits for
/// streams.
fn served(turns_max: usize, askers: &[Asker]) -> Vec<u64> {
    let mut world = World::new(turns_max);
    let who = |number: usize| peer(u8::try_from(number + 1).unwrap());
    let mut left = BTreeMap::new();
    let mut served = vec![0; askers.len()];
    let mut ends: Vec<(u64, Turn)> = Vec::new();
    for (number, asker) in askers.iter().enumerate() {
        for _ in 0..asker.open {
            left.insert(world.queue.join(who(number)).unwrap(), asker.pieces);
        }
    }
    let mut now = 0;
    while now < 2_000 * PIECE {
        while let Some(turn) = world.queue.next() {
            let number = (0..askers.len()).find(|n| who(*n) == world.peer_of(turn.ticket));
            ends.push((now + askers[number.unwrap()].bytes, turn));
        }
        let first = (0..ends.len()).min_by_key(|n| ends[*n].0).unwrap();
        let (end, Turn { ticket, .. }) = ends.remove(first);
        now = end;
        let number = (0..askers.len()).find(|n| who(*n) == world.peer_of(ticket)).unwrap();
        served[number] += askers[number].bytes;
        world.queue.has_read(ticket, askers[number].bytes);
        let pieces = left.get_mut(&ticket).unwrap();
        *pieces -= 1;
        if *pieces > 0 {
            world.queue.again(ticket);
        } else {
            left.remove(&ticket);
            world.queue.leave(ticket);
            left.insert(world.queue.join(who(number)).unwrap(), askers[number].pieces);
        }
    }
    served
}

#[test]
fn who_asks_for_much_and_who_asks_for_single_blocks_get_alike() {
    let large = Asker { open: 32, pieces: 8, bytes: PIECE };
    let single = Asker { open: 24, pieces: 1, bytes: 5_600 };
    let one_after_the_other = Asker { open: 1, pieces: 8, bytes: PIECE / 2 };
    for turns_max in [1, 2, 4] {
        let askers = [large, single, large, one_after_the_other, single];
        let served = served(turns_max, &askers);
        let [least, most] = [served.iter().min().unwrap(), served.iter().max().unwrap()];
        // Each has had hundreds of pieces.
        assert!(most - least <= 4 * PIECE, "{turns_max} turns: {served:?}");
        assert!(*least > 300 * PIECE, "{turns_max} turns: {served:?}");
    }
}

#[test]
fn pause_is_not_saved_up_and_not_paid_for() {
    let mut world = World::new(1);
    let [early, late] = [peer(1), peer(2)];
    let first = world.queue.join(late).unwrap();
    world.give_turns();
    world.queue.leave(first);
    world.reading.clear();
    for _ in 0..8 {
        world.queue.join(early);
    }
    for _ in 0..100 {
        world.give_turns();
        let turn = world.reading.remove(0);
        world.queue.has_read(turn.ticket, PIECE);
        world.queue.again(turn.ticket);
    }
    for _ in 0..8 {
        world.queue.join(late);
    }
    let mut turns = Vec::new();
    for _ in 0..20 {
        world.give_turns();
        let turn = world.reading.remove(0);
        turns.push(world.peer_of(turn.ticket) == late);
        world.queue.has_read(turn.ticket, PIECE);
        world.queue.again(turn.ticket);
    }
    let late_turns = turns.iter().filter(|is_late| **is_late).count();
    assert!(turns[..2].contains(&true), "{turns:?}");
    assert!((9..=12).contains(&late_turns), "{turns:?}");
}

#[test]
fn replies_of_a_peer_begin_in_order_and_a_few_run_at_once() {
    let mut world = World::new(1);
    let tickets: Vec<_> = (0..10).map(|_| world.queue.join(peer(1)).unwrap()).collect();
    let mut order = Vec::new();
    for _ in 0..8 {
        world.give_turns();
        let turn = world.reading.remove(0);
        order.push(turn.ticket);
        world.queue.has_read(turn.ticket, 1);
        world.writing.push(turn.ticket);
        if world.writing.len() == PLACES_PER_PEER {
            assert_eq!(world.give_turns(), 0, "all places are taken");
            world.queue.leave(world.writing.remove(0));
        }
    }
    assert_eq!(order, tickets[..8]);
}

#[test]
fn replies_whose_streams_take_nothing_leave_their_places_to_others_of_their_peer() {
    let mut world = World::new(4);
    let tickets: Vec<_> = (0..31).map(|_| world.queue.join(peer(1)).unwrap()).collect();
    let mut begun = 0;
    while world.give_turns() > 0 {
        for turn in std::mem::take(&mut world.reading) {
            begun += 1;
            world.queue.has_read(turn.ticket, turn.bytes_max);
            world.queue.park(turn.ticket, 4096);
            world.writing.push(turn.ticket);
        }
    }
    assert_eq!(begun, tickets.len());
    assert_eq!(world.queue.lines[&peer(1)].held, 31 * 4096);
    // Others do not notice.
    world.queue.join(peer(2)).unwrap();
    assert_eq!(world.give_turns(), 1);
    // One that is read again goes on before those that have not begun.
    world.queue.again(tickets[0]);
    assert_eq!(world.give_turns(), 1);
    assert_eq!(world.reading[1].ticket, tickets[0]);
}

#[test]
fn too_many_requests_of_one_peer_are_refused_and_parked_ones_do_not_count() {
    let mut world = World::new(1);
    let tickets: Vec<_> = (0..32).map(|_| world.queue.join(peer(1)).unwrap()).collect();
    assert_eq!(world.queue.join(peer(1)), None);
    assert!(world.queue.join(peer(2)).is_some());
    world.give_turns();
    world.queue.has_read(tickets[0], 100);
    assert_eq!(world.queue.join(peer(1)), None);
    world.queue.park(tickets[0], 4096);
    assert!(world.queue.join(peer(1)).is_some());
    assert_eq!(world.queue.join(peer(1)), None);
}

#[test]
fn memory_is_bounded_whoever_comes() {
    let mut queue = FairQueue::new(1, PIECE);
    let busy = queue.join(peer(1)).unwrap();
    let mut most = 0;
    for _ in 0..500 {
        let once = queue.join(PeerId::random()).unwrap();
        for _ in 0..2 {
            let turn = queue.next().unwrap();
            queue.has_read(turn.ticket, PIECE);
            if turn.ticket == busy { queue.again(busy) } else { queue.leave(once) }
        }
        most = most.max(queue.lines.len());
    }
    assert!(most <= 5, "{most} peers are kept");
}
