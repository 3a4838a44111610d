use proptest::prelude::*;

use super::*;

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
