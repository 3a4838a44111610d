//! Whose reply reads next, and how much. Pure.
//!
//! Fair between peers by bytes: each peer has a tag, which is how much it has had, and of those who
//! can go on the one with the least is next (start-time fair queueing). What a turn brings is only
//! known when it is over, so its largest amount is charged at first and the rest given back. Who
//! comes, or comes back, starts one piece behind the others at most: nobody saves up more. So who
//! asks for a thousand ranges and who asks for one block at a time get alike, and the first
//! request of a peer waits for no more than the turns that are taken.
//!
//! Within a peer, replies begin in the order in which they were asked for. A few run at once and
//! take turns; the others wait for a *place*. A reply whose stream takes nothing gives up its place
//! and what it has read, and is *parked* until it does.
//!
//! What a reply has read and its stream has not taken is *held*. Each peer has its own bound for
//! that, so that who does not read gets no memory and no turn of others.

use std::collections::{BTreeMap, VecDeque};

use crate::types::PeerId;

/// Requests of one peer at work or waiting at once; more are refused. Parked ones do not count: a
/// peer may have forgotten them, and we are not told. Unit: requests. Source: today's nodes close
/// a connection at the 33rd, so that nobody who respects them meets it. Too low: well-behaved peers
/// are refused, and today's nodes hang. Too high: more waiting tasks that a hostile peer can make.
pub(in super::super) const REQUESTS_OPEN_MAX: usize = 32;

/// Replies of one peer that take turns. Unit: replies. Too low: a peer that asks for many small
/// ranges waits for our reading between any two. Too high: its first request is answered as late
/// as its last.
const PLACES_PER_PEER: usize = 4;

/// Turns of one peer at once. Unit: turns. Too low: a peer reads slower than it could alone. Too
/// high: another peer's first request waits for more, and see [`HELD_BYTES_MAX`].
const TURNS_PER_PEER: usize = 2;

/// What a peer may have held before it gets no further turn; each of its turns may bring a piece
/// more. Unit: bytes. A piece for each place. So for 64 peers that all stop reading at one moment
/// about 32 MiB are held, 160 MiB when all blocks are of the largest size, and half a second later
/// nearly nothing. Too low: replies of a peer wait for each other. Too high: memory.
const HELD_BYTES_MAX: u64 = 512 * 1024;

/// What a turn costs at least. Unit: bytes. Source: reading a block of 5 kB costs about as much as
/// finding it. Too low: turns for nothing are free. Too high: who asks for single small blocks gets
/// less than others.
const COST_MIN: u64 = 4 * 1024;

/// One reply in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The right to read a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) ticket: Ticket,
    /// Bytes after which no further block is to be read.
    pub(super) bytes_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For a turn.
    Waiting,
    /// Has a turn that may bring so much.
    Reading { bytes_max: u64 },
    /// Has read so much, which its stream has not taken.
    Writing { held: u64 },
    /// The same of little, and has no place.
    Parked { held: u64 },
}

struct Reply {
    peer: PeerId,
    has_place: bool,
    stage: Stage,
}

/// The replies to one peer.
#[derive(Default)]
struct Line {
    tag: u64,
    /// Whether somebody waited when last looked at, and since when.
    backlogged: bool,
    since: u64,
    /// Wait for a turn and have a place.
    going_on: VecDeque<Ticket>,
    /// Wait for a turn and have no place.
    new: VecDeque<Ticket>,
    replies: usize,
    parked: usize,
    places: usize,
    turns: usize,
    /// Turns count with what they may bring.
    held: u64,
}

impl Line {
    /// Whether a reply waits for nothing but a turn.
    fn is_backlogged(&self) -> bool {
        let can_begin = !self.new.is_empty() && self.places < PLACES_PER_PEER;
        (can_begin || !self.going_on.is_empty()) && self.held < HELD_BYTES_MAX
    }
}

/// All open replies.
pub(super) struct FairQueue {
    turns_max: usize,
    piece_bytes: u64,
    lines: BTreeMap<PeerId, Line>,
    replies: BTreeMap<Ticket, Reply>,
    tickets: u64,
    turns: usize,
    /// The greatest tag that got a turn.
    now: u64,
    arrivals: u64,
}

impl FairQueue {
    /// A queue for at most `turns_max` turns at once, each of about `piece_bytes` bytes.
    pub(super) fn new(turns_max: usize, piece_bytes: u64) -> Self {
        Self {
            turns_max: turns_max.max(1),
            piece_bytes: piece_bytes.max(1),
            lines: BTreeMap::new(),
            replies: BTreeMap::new(),
            tickets: 0,
            turns: 0,
            now: 0,
            arrivals: 0,
        }
    }

    /// Another reply to `peer`, which waits for a turn; `None` if it has too many.
    pub(super) fn join(&mut self, peer: PeerId) -> Option<Ticket> {
        if !self.lines.contains_key(&peer) {
            self.forget_idle();
        }
        let line = self.lines.entry(peer).or_default();
        if line.replies - line.parked >= REQUESTS_OPEN_MAX {
            return None;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        line.replies += 1;
        line.new.push_back(ticket);
        let reply = Reply { peer, has_place: false, stage: Stage::Waiting };
        self.replies.insert(ticket, reply);
        self.look_at(peer);
        Some(ticket)
    }

    /// Gives the next turn, if one is free and somebody can use it.
    pub(super) fn next(&mut self) -> Option<Turn> {
        if self.turns >= self.turns_max {
            return None;
        }
        let can_read = |line: &Line| line.backlogged && line.turns < TURNS_PER_PEER;
        let ready = self.lines.iter_mut().filter(|(_, line)| can_read(line));
        let (&peer, line) = ready.min_by_key(|(_, line)| (line.tag, line.since))?;
        let ticket = line.going_on.pop_front().or_else(|| line.new.pop_front())?;
        let reply = self.replies.get_mut(&ticket)?;
        if !reply.has_place {
            reply.has_place = true;
            line.places += 1;
        }
        let bytes_max = self.piece_bytes;
        reply.stage = Stage::Reading { bytes_max };
        self.now = self.now.max(line.tag);
        line.tag = line.tag.saturating_add(bytes_max.max(COST_MIN));
        line.held += bytes_max;
        line.turns += 1;
        self.turns += 1;
        self.look_at(peer);
        Some(Turn { ticket, bytes_max })
    }

    /// A turn is over and has brought `bytes`, which are held now.
    pub(super) fn has_read(&mut self, ticket: Ticket, bytes: u64) {
        self.change(ticket, |stage, line| {
            let Stage::Reading { bytes_max } = stage else { return stage };
            line.end_turn(bytes_max, bytes);
            line.held += bytes;
            Stage::Writing { held: bytes }
        });
    }

    /// The stream of a reply takes nothing: others may have its place, and all it holds but
    /// `bytes`.
    pub(super) fn park(&mut self, ticket: Ticket, bytes: u64) {
        self.change(ticket, |stage, line| {
            let Stage::Writing { held } = stage else { return stage };
            let kept = bytes.min(held);
            line.held -= held - kept;
            line.parked += 1;
            Stage::Parked { held: kept }
        });
    }

    /// The stream has taken all that is held of a reply, which waits for another turn.
    pub(super) fn again(&mut self, ticket: Ticket) {
        self.change(ticket, |stage, line| match stage {
            Stage::Writing { held } => {
                line.held -= held;
                line.going_on.push_back(ticket);
                Stage::Waiting
            }
            Stage::Parked { held } => {
                line.held -= held;
                line.parked -= 1;
                // It was there before all those that have not begun.
                line.new.push_front(ticket);
                Stage::Waiting
            }
            Stage::Waiting | Stage::Reading { .. } => stage,
        });
    }

    /// A reply has ended, however far it had come.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.change(ticket, |stage, line| {
            match stage {
                Stage::Waiting => {
                    line.going_on.retain(|waiting| *waiting != ticket);
                    line.new.retain(|waiting| *waiting != ticket);
                }
                Stage::Reading { bytes_max } => line.end_turn(bytes_max, 0),
                Stage::Writing { held } => line.held -= held,
                Stage::Parked { held } => {
                    line.held -= held;
                    line.parked -= 1;
                }
            }
            line.replies -= 1;
            // Nothing is held, so nothing is left to give back but the place.
            Stage::Parked { held: 0 }
        });
        self.replies.remove(&ticket);
    }

    /// Takes a reply to another stage, and its turn and place from it if it has none there.
    fn change(&mut self, ticket: Ticket, step: impl FnOnce(Stage, &mut Line) -> Stage) {
        let Some(reply) = self.replies.get_mut(&ticket) else { return };
        let Some(line) = self.lines.get_mut(&reply.peer) else { return };
        let before = reply.stage;
        reply.stage = step(before, line);
        let is_reading = |stage| matches!(stage, Stage::Reading { .. });
        if is_reading(before) && !is_reading(reply.stage) {
            self.turns -= 1;
        }
        if reply.has_place && matches!(reply.stage, Stage::Parked { .. }) {
            reply.has_place = false;
            line.places -= 1;
        }
        let peer = reply.peer;
        self.look_at(peer);
    }

    /// Notes whether a peer is backlogged. Who was not until now starts near the others.
    fn look_at(&mut self, peer: PeerId) {
        let start = self.start();
        let Some(line) = self.lines.get_mut(&peer) else { return };
        let before = line.backlogged;
        line.backlogged = line.is_backlogged();
        if line.backlogged && !before {
            line.tag = line.tag.max(start);
            self.arrivals += 1;
            line.since = self.arrivals;
        }
    }

    /// The tag of newcomers.
    fn start(&self) -> u64 {
        self.now.saturating_sub(self.piece_bytes)
    }

    /// Forgets peers without replies, save those that would gain by it.
    fn forget_idle(&mut self) {
        if self.replies.is_empty() {
            self.lines.clear();
        }
        let start = self.start();
        self.lines.retain(|_, line| line.replies > 0 || line.tag > start);
    }
}

impl Line {
    fn end_turn(&mut self, charged: u64, brought: u64) {
        self.turns -= 1;
        self.held -= charged;
        let spent = self.tag.saturating_sub(charged.max(COST_MIN));
        self.tag = spent.saturating_add(brought.max(COST_MIN));
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
