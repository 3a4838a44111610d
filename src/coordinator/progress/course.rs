//! The course of the contiguous progress: how much was imported by when, without the stalls. Pure.

use std::{collections::VecDeque, time::Duration};

use crate::{coordinator::stall::STALLED_AFTER, types::Height};

/// How far back the course is kept. Unit: seconds of work. Too low: an estimate follows every
/// noise. Too high: one that drifts slowly is told late, and memory.
const HISTORY: f64 = 240.0;
/// Length of a slice, the least over which a speed is judged. Unit: seconds of work. Too low:
/// slices differ by chance, so that changes are not told from noise. Too high: a change is known
/// after this time only.
pub(super) const SLICE: f64 = 5.0;
/// Least length of the oldest slice. Unit: seconds of work. Too low: a sliver without a block makes
/// a speed of zero. Too high: what is known of a young sync is not used.
const SLIVER: f64 = 0.1;
/// Least work between two points, so that there are at most 480 of them. Unit: seconds.
const SPACING: f64 = 0.5;
/// A time without imports that is this many times as long as the usual one is a stall. Too low:
/// batches that come slowly are taken for stalls. Too high: a stall is taken for a slow sync.
const STALL_FACTOR: f64 = 3.0;
/// What one import leaves of the usual time between imports, which follows longer ones at once.
/// Too low: of batches that come in bunches each bunch looks like a stall before it. Too high: a
/// stall after a stall is not seen.
const USUAL_DECAY: f64 = 0.75;

/// How far the sync was at one moment. All but `at` count from the first import.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    at: Duration,
    /// Time without the stalls. Unit: seconds.
    worked: f64,
    blocks: f64,
    bytes: f64,
    stalls: u64,
    target: Height,
}

/// A part of the course.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slice {
    /// How long it took.
    pub(super) seconds: f64,
    /// What was imported in it.
    pub(super) blocks: f64,
    /// What was imported in it.
    pub(super) bytes: f64,
}

/// What was no work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stalls {
    /// How many there were.
    pub(super) count: u64,
    /// The part of the time that was work: above 0, at most 1.
    pub(super) moving: f64,
    /// How long one takes. Unit: seconds.
    pub(super) mean: f64,
}

impl Stalls {
    const NONE: Self = Self { count: 0, moving: 1.0, mean: 0.0 };
}

/// Remembers the last minutes of work. Between two imports the course is straight: blocks of a
/// batch were downloaded and verified all the time since the batch before.
#[derive(Debug, Default)]
pub(super) struct Course {
    points: VecDeque<Point>,
    /// The usual time between two imports. Unit: seconds.
    usual_gap: f64,
}

impl Course {
    /// Forgets everything: what comes has nothing to do with what was.
    pub(super) fn clear(&mut self) {
        self.points.clear();
        self.usual_gap = 0.0;
    }

    /// Takes in an import. The first one is only where the course begins: when it was begun is not
    /// known.
    pub(super) fn imported(&mut self, now: Duration, blocks: u64, bytes: u64, target: Height) {
        let Some(&last) = self.points.back() else {
            self.points.push_back(Point { at: now, target, ..Point::default() });
            return;
        };
        let (gap, stalled) = (self.since_import(now), self.is_stalled(now));
        self.usual_gap = gap.max(USUAL_DECAY * self.usual_gap);
        let worked = match self.whole() {
            _ if !stalled => gap,
            // How fast it is was not known before the stall.
            None => {
                self.points.clear();
                return self.imported(now, blocks, bytes, target);
            }
            // What the blocks would have taken without it.
            Some(whole) => gap.min(blocks as f64 * whole.seconds / whole.blocks),
        };
        let crowded = self.points.iter().nth_back(1);
        if crowded.is_some_and(|before| last.worked < before.worked + SPACING) {
            self.points.pop_back();
        }
        self.points.push_back(Point {
            at: now,
            worked: last.worked + worked,
            blocks: last.blocks + blocks as f64,
            bytes: last.bytes + bytes as f64,
            stalls: last.stalls + u64::from(stalled),
            target,
        });
        let oldest = last.worked + worked - HISTORY;
        while self.points.get(1).is_some_and(|second| second.worked <= oldest) {
            self.points.pop_front();
        }
    }

    /// Everything that is remembered; none before anything is known.
    pub(super) fn whole(&self) -> Option<Slice> {
        let (first, last) = self.ends()?;
        Some(Slice {
            seconds: last.worked - first.worked,
            blocks: last.blocks - first.blocks,
            bytes: last.bytes - first.bytes,
        })
    }

    fn ends(&self) -> Option<(&Point, &Point)> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        (last.worked > first.worked && last.blocks > first.blocks).then_some((first, last))
    }

    /// The stalls that are remembered.
    pub(super) fn stalls(&self) -> Stalls {
        let Some((first, last)) = self.ends() else { return Stalls::NONE };
        let count = last.stalls - first.stalls;
        if count == 0 {
            return Stalls::NONE;
        }
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        let worked = (last.worked - first.worked).min(seconds);
        Stalls { count, moving: worked / seconds, mean: (seconds - worked) / count as f64 }
    }

    /// How fast the target moves away. Unit: blocks per second.
    pub(super) fn target_speed(&self) -> f64 {
        let Some((first, last)) = self.ends() else { return 0.0 };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        if seconds > 0.0 { last.target.blocks_above(first.target) as f64 / seconds } else { 0.0 }
    }

    /// Time since the last import. Unit: seconds.
    pub(super) fn since_import(&self, now: Duration) -> f64 {
        self.points.back().map_or(0.0, |last| now.saturating_sub(last.at).as_secs_f64())
    }

    /// The usual time between two imports. Unit: seconds.
    pub(super) fn usual_gap(&self) -> f64 {
        self.usual_gap
    }

    /// Whether the last import was so long ago that the next one will have been stalled.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        self.since_import(now) > (STALL_FACTOR * self.usual_gap).max(STALLED_AFTER.as_secs_f64())
    }

    /// The course up to the last import and then `ahead`, in slices of [`SLICE`], newest first.
    /// The oldest one may be shorter. Each has at least a part of a block.
    pub(super) fn slices(&self, ahead: Slice) -> Vec<Slice> {
        let Some((first, last)) = self.ends() else { return Vec::new() };
        let begin = first.worked.max(last.worked - HISTORY);
        let end = Point {
            worked: last.worked + ahead.seconds,
            blocks: last.blocks + ahead.blocks,
            bytes: last.bytes + ahead.bytes,
            ..*last
        };
        let mut slices = Vec::new();
        let mut newer = end;
        while newer.worked - begin > SLIVER {
            let older = self.point((newer.worked - SLICE).max(begin), &end);
            slices.push(Slice {
                seconds: newer.worked - older.worked,
                blocks: newer.blocks - older.blocks,
                bytes: newer.bytes - older.bytes,
            });
            newer = older;
        }
        slices
    }

    /// Where the course was after `worked` seconds of work, if it ends with `end`.
    fn point(&self, worked: f64, end: &Point) -> Point {
        let after = self.points.partition_point(|point| point.worked <= worked);
        let Some(before) = after.checked_sub(1).and_then(|index| self.points.get(index)) else {
            return self.points.front().copied().unwrap_or(*end);
        };
        let after = self.points.get(after).unwrap_or(end);
        let length = after.worked - before.worked;
        let part = if length > 0.0 { (worked - before.worked) / length } else { 0.0 };
        Point {
            worked,
            blocks: before.blocks + part * (after.blocks - before.blocks),
            bytes: before.bytes + part * (after.bytes - before.bytes),
            ..*before
        }
    }
}
