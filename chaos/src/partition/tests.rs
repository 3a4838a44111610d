//! What the report says of traces that are made up.

use alys_sync::types::{BlockRef, BlockRoot, Height};

use super::*;
use crate::{adversaries::Role, plan::Plan};

const SECOND: Duration = Duration::from_secs(1);

fn facts(peers: usize) -> Facts {
    let head = BlockRef { height: Height::new(9), root: BlockRoot::ZERO };
    let mut plan = Plan::partition(1, 300);
    plan.peers.truncate(1);
    let mut facts = Facts::of(&plan, head, None);
    facts.roles = vec![Role::Honest; peers];
    facts
}

/// Two peers are judged, `cut` of them are cut off from second 10 to 40, and judged again at 45.
fn seen(cut: usize, after: [(u16, bool); 2], more: &[(u64, Event)]) -> CutSeen {
    let judged = |(peer, (score, banned))| Event::Judged { peer: PeerIndex(peer), score, banned };
    let before = [(600, false), (600, false)].into_iter().enumerate().map(judged);
    let after = after.into_iter().enumerate().map(judged);
    let mut events: Vec<(u64, Event)> = before.map(|event| (10, event)).collect();
    events.push((10, Event::Cut { peers: cut }));
    events.push((40, Event::LinkBack));
    events.extend(after.map(|event| (45, event)));
    events.extend(more.iter().cloned());
    events.sort_by_key(|(at, _)| *at);
    let stamped = |(at, event)| Stamped { at: SECOND * u32::try_from(at).unwrap(), event };
    cut_seen(&facts(2), &events.into_iter().map(stamped).collect::<Vec<_>>())
}

const SAME: [(u16, bool); 2] = [(595, false), (700, false)];

fn told(told: bool) -> Event {
    Event::Partition { told }
}

#[test]
fn cut_that_is_noticed_and_healed_is_timed() {
    let imported = Event::Appended { first: Height::new(3), last: Height::new(4) };
    let early = (9, imported.clone());
    let more = [early, (13, told(true)), (41, told(false)), (42, imported)];
    let expected = CutSeen {
        noticed: Some(3 * SECOND),
        healed: Some(SECOND),
        progress: Some(2 * SECOND),
        ..CutSeen::default()
    };
    assert_eq!(seen(2, SAME, &more), expected);
    assert_eq!(seen(2, SAME, &[]), CutSeen::default(), "unnoticed");
}

#[test]
fn partition_of_half_or_of_nobody_is_a_false_alarm() {
    assert_eq!(seen(1, SAME, &[(13, told(true))]).false_alarms, 1);
    assert_eq!(seen(2, SAME, &[(3, told(true)), (4, told(false))]).false_alarms, 1);
    assert_eq!(seen(2, SAME, &[(41, told(true))]).false_alarms, 1);
}

#[test]
fn partition_that_is_taken_back_while_it_lasts_flaps() {
    let more = [(13, told(true)), (15, told(false)), (16, told(true))];
    let seen = seen(2, SAME, &more);
    assert_eq!((seen.flaps, seen.noticed, seen.healed), (1, Some(3 * SECOND), None));
}

#[test]
fn lower_score_and_ban_are_penalties() {
    let seen = seen(2, [(594, false), (600, true)], &[]);
    assert_eq!((seen.penalised, seen.banned), (vec![PeerIndex(0)], vec![PeerIndex(1)]));
}
