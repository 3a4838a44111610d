use proptest::prelude::*;

use super::*;
use crate::types::Height;

const BUDGET: u64 = 64 * MIB;

fn watch() -> ResourceWatch {
    let settings =
        ResourceSettings { memory_max_bytes: Some(1_000 * MIB), disk_reserve_bytes: 100 * MIB };
    ResourceWatch::new(settings, BUDGET)
}

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn memory(mib: u64) -> ResourceSample {
    ResourceSample { memory_bytes: Some(mib * MIB), disk_free_bytes: None }
}

fn disk(mib: u64) -> ResourceSample {
    ResourceSample { memory_bytes: None, disk_free_bytes: Some(mib * MIB) }
}

#[test]
fn nothing_short_leaves_everything_as_configured() {
    let mut watch = watch();
    let found = ResourceSample { memory_bytes: Some(849 * MIB), disk_free_bytes: Some(100 * MIB) };
    let orders = watch.look(at(1), found);
    assert_eq!(orders, Orders { budget_bytes: BUDGET, import: true, short_of: Vec::new() });
}

#[test]
fn memory_near_its_limit_halves_the_budget_each_second_down_to_nothing() {
    let mut watch = watch();
    let budgets: Vec<_> =
        (0..8).map(|s| watch.look(at(s), memory(900)).budget_bytes / MIB).collect();
    assert_eq!(budgets, [32, 16, 8, 4, 2, 1, 0, 0]);
    let orders = watch.look(Duration::from_millis(7_200), memory(900));
    assert_eq!(orders.short_of, [Shortage::Memory { used: 900 * MIB, limit: 1_000 * MIB }]);
    assert!(orders.import, "what is there is imported, which frees memory");
}

#[test]
fn budget_comes_back_in_steps_once_memory_is_well_below_its_limit() {
    let mut watch = watch();
    (0..8).for_each(|second| drop(watch.look(at(second), memory(900))));
    for second in 8..60 {
        let between = watch.look(at(second), memory(800));
        assert_eq!(between.budget_bytes, 0, "neither high nor low");
        assert!(!between.short_of.is_empty(), "it is still held back");
    }
    let budgets: Vec<_> =
        (0..8).map(|step| watch.look(at(60 + 5 * step), memory(600)).budget_bytes / MIB).collect();
    assert_eq!(budgets, [1, 2, 4, 8, 16, 32, 64, 64]);
    assert_eq!(watch.look(at(200), memory(600)).short_of, []);
}

/// What the budget is after each of so many seconds in which `blocks` waited and each second
/// imported `speed` of them.
fn budgets(watch: &mut ResourceWatch, from: u64, seconds: u64, speed: u64) -> Vec<u64> {
    let look = |second: u64| {
        let waiting = Waiting { blocks: 1_000, head: Height::new(second * speed) };
        watch.look_at_work(at(second), waiting).budget_bytes / MIB
    };
    (from..from + seconds).map(look).collect()
}

#[test]
fn deep_queues_halve_the_budget_down_to_a_part_and_say_so() {
    let mut watch = watch();
    assert_eq!(budgets(&mut watch, 0, 12, 50), [64, 64, 64, 64, 64, 32, 16, 8, 4, 4, 4, 4]);
    let waiting = Waiting { blocks: 1_000, head: Height::new(600) };
    let orders = watch.look_at_work(at(12), waiting);
    assert_eq!(orders.short_of, [Shortage::Work { blocks: 1_000, seconds: Some(20) }]);
    let told = orders.short_of.first().unwrap().to_string();
    let wanted = "1000 blocks wait for verification and import, which takes 20 s: less is \
                  downloaded ahead";
    assert_eq!(told, wanted);
}

#[test]
fn queues_that_are_worked_off_give_the_budget_back() {
    let mut watch = watch();
    budgets(&mut watch, 0, 12, 50);
    let idle = Waiting { blocks: 0, head: Height::new(1_600) };
    let look = |second| watch.look_at_work(at(second), idle);
    let given_back: Vec<_> = (12..17).map(look).collect();
    let budgets: Vec<_> = given_back.iter().map(|orders| orders.budget_bytes / MIB).collect();
    assert_eq!(budgets, [8, 16, 32, 64, 64]);
    assert_eq!(given_back.last().unwrap().short_of, []);
}

#[test]
fn queues_of_a_fast_machine_are_not_deep_however_many_blocks_wait() {
    let mut watch = watch();
    assert_eq!(budgets(&mut watch, 0, 30, 1_000), [64; 30]);
}

#[test]
fn import_that_is_held_does_not_count_as_slow() {
    let mut watch = watch();
    watch.look(at(0), disk(1));
    let stand = |watch: &mut ResourceWatch, seconds: std::ops::Range<u64>| {
        let waiting = Waiting { blocks: 9, head: Height::new(1) };
        seconds.map(|second| watch.look_at_work(at(second), waiting)).last().unwrap()
    };
    let orders = stand(&mut watch, 0..60);
    assert_eq!(orders.budget_bytes, BUDGET);
    assert!(matches!(orders.short_of[..], [Shortage::Disk { .. }]), "{orders:?}");
    watch.look(at(60), disk(1_000));
    let orders = stand(&mut watch, 60..64);
    assert_eq!(orders.short_of, [], "the time in which it was held is forgotten");
}

#[test]
fn smaller_budget_of_memory_and_of_queues_counts() {
    let mut watch = watch();
    budgets(&mut watch, 0, 8, 0);
    let memory_too: Vec<_> =
        (8..14).map(|second| watch.look(at(second), memory(900)).budget_bytes / MIB).collect();
    assert_eq!(memory_too, [8, 8, 8, 4, 2, 1]);
}

#[test]
fn full_disk_stops_import_and_room_lets_it_go_on() {
    let mut watch = watch();
    let import = |watch: &mut ResourceWatch, mib| watch.look(at(1), disk(mib)).import;
    assert!(import(&mut watch, 100));
    assert!(!import(&mut watch, 99));
    assert!(!import(&mut watch, 124), "a little room is no room");
    assert!(import(&mut watch, 125));
    assert!(import(&mut watch, 101));
}

#[test]
fn shortages_say_what_is_needed() {
    let mut watch = watch();
    let orders = watch.look(at(1), disk(7));
    let told = orders.short_of.first().unwrap().to_string();
    assert_eq!(told, "the disk has 7 MiB left: nothing is imported until 125 MiB are free");
    assert_eq!(orders.budget_bytes, BUDGET, "the disk is no matter of memory");
}

#[test]
fn what_is_not_known_changes_nothing() {
    let mut watch = watch();
    let before = watch.look(at(1), ResourceSample { disk_free_bytes: Some(0), ..memory(900) });
    assert_eq!(watch.look(at(9), ResourceSample::default()), before);
}

#[test]
fn without_a_limit_memory_is_never_short() {
    let settings = ResourceSettings { memory_max_bytes: None, disk_reserve_bytes: 0 };
    let mut watch = ResourceWatch::new(settings, BUDGET);
    let orders = watch.look(at(1), ResourceSample { disk_free_bytes: Some(0), ..memory(1 << 30) });
    assert_eq!(orders, Orders { budget_bytes: BUDGET, import: true, short_of: Vec::new() });
}

proptest! {
    #[test]
    fn budget_stays_in_bounds_and_is_told_to_be_short_exactly_while_it_is(
        found in prop::collection::vec((0_u64..1_500, 0_u64..200, 1_u64..20), 1..200),
    ) {
        let (mut watch, mut now) = (watch(), Duration::ZERO);
        for (used, free, pause) in found {
            now += at(pause);
            let sample = ResourceSample {
                memory_bytes: Some(used * MIB),
                disk_free_bytes: Some(free * MIB),
            };
            let orders = watch.look(now, sample);
            prop_assert!(orders.budget_bytes <= BUDGET);
            let short = |of: fn(&Shortage) -> bool| orders.short_of.iter().any(of);
            prop_assert_eq!(short(|s| matches!(s, Shortage::Disk { .. })), !orders.import);
            prop_assert!(orders.import || free < 125);
            prop_assert!(!orders.import || free >= 100);
            if orders.budget_bytes < BUDGET {
                let memory = short(|s| matches!(s, Shortage::Memory { .. }));
                prop_assert!(memory, "the budget is cut without a word");
            }
        }
    }
}
