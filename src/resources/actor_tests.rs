//! The monitor over a machine that has left what the test says.

use supervisors::{ChildHandle, ChildSpec, SupervisorHandle};
use tokio::time::timeout;

use super::*;
use crate::{
    coordinator::CoordinatorMsg,
    doubles::{Recorded, ResourcesDouble, recorded, tree},
    importer::ImporterMsg,
    ports::{ResourceSample, SystemClock},
    resources::Shortage,
    scheduler::{SchedulerMsg, WindowGauge},
    types::{BlockRef, BlockRoot, Height},
};

const BUDGET: u64 = 64 << 20;
const LONG: Duration = Duration::from_secs(600);

struct World {
    machine: Arc<ResourcesDouble>,
    budget: ByteBudget,
    gate: ImportGate,
    child: ChildHandle<ResourceMsg>,
    scheduler: Recorded<SchedulerMsg>,
    importer: Recorded<ImporterMsg>,
    coordinator: Recorded<CoordinatorMsg>,
    tree: SupervisorHandle,
}

fn found(memory_mib: u64, disk_mib: u64) -> Option<ResourceSample> {
    Some(ResourceSample {
        memory_bytes: Some(memory_mib << 20),
        disk_free_bytes: Some(disk_mib << 20),
    })
}

impl World {
    async fn new() -> Self {
        let (importer, coordinator) = (recorded("importer"), recorded("coordinator"));
        let scheduler = recorded("scheduler");
        let machine = Arc::new(ResourcesDouble::plenty());
        let (budget, gate) = (ByteBudget::new(BUDGET), ImportGate::default());
        let args = ResourceArgs {
            settings: ResourceSettings::default(),
            budget_max: BUDGET,
            budget: budget.clone(),
            gate: gate.clone(),
            resources: machine.clone(),
            clock: Arc::new(SystemClock::start()),
            scheduler: SchedulerHandle::new(scheduler.handle.clone()),
            importer: ImporterHandle::new(importer.handle.clone()),
            coordinator: CoordinatorHandle::new(coordinator.handle.clone()),
        };
        let child = ChildHandle::new("resources");
        let spec = ChildSpec::new(&child, move || (ResourceMonitor, args.clone()));
        let siblings =
            [scheduler.spec.clone(), importer.spec.clone(), coordinator.spec.clone(), spec];
        let tree = tree(siblings).await;
        Self { machine, budget, gate, child, scheduler, importer, coordinator, tree }
    }

    /// What the coordinator is told next that is `wanted`.
    async fn told(&mut self, wanted: impl Fn(&[Shortage]) -> bool) -> Vec<Shortage> {
        let told = async {
            loop {
                match self.coordinator.told.recv().await {
                    Some(CoordinatorMsg::ShortOf { shortages }) if wanted(&shortages) => {
                        return shortages;
                    }
                    Some(_) => {}
                    None => panic!("the coordinator has ended"),
                }
            }
        };
        timeout(LONG, told).await.expect("it is not told")
    }
}

#[tokio::test(start_paused = true)]
async fn full_disk_closes_the_gate_and_room_opens_it_and_wakes_the_importer() {
    let mut world = World::new().await;
    world.told(<[_]>::is_empty).await;
    assert!(world.gate.is_open());
    world.machine.set(found(100, 7));
    let short = world.told(|short| !short.is_empty()).await;
    assert!(matches!(short[..], [Shortage::Disk { .. }]), "{short:?}");
    assert!(!world.gate.is_open());
    world.machine.set(found(100, 100_000));
    world.told(<[_]>::is_empty).await;
    assert!(world.gate.is_open());
    let mut changes = 0;
    while changes < 2 {
        // It is asked where it is, too.
        let told = world.importer.told.recv().await.expect("the importer has ended");
        changes += usize::from(matches!(told, ImporterMsg::GateChanged));
    }
    world.tree.shutdown(LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn memory_near_its_limit_takes_the_budget_and_gives_it_back() {
    let mut world = World::new().await;
    world.machine.set(found(500, 100_000));
    while world.budget.gauge().limit > 0 {
        world.told(|short| !short.is_empty()).await;
    }
    world.machine.set(found(100, 100_000));
    world.told(<[_]>::is_empty).await;
    assert_eq!(world.budget.gauge().limit, BUDGET);
    world.tree.shutdown(LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn deep_queues_take_part_of_the_budget_and_the_status_says_why() {
    let mut world = World::new().await;
    let answering = async {
        loop {
            tokio::select! {
                told = world.scheduler.told.recv() => {
                    if let Some(SchedulerMsg::ReadGauge { reply }) = told {
                        let verifying_blocks = 4_000;
                        let gauge = WindowGauge { verifying_blocks, ..WindowGauge::default() };
                        reply.send(gauge).unwrap();
                    }
                }
                told = world.importer.told.recv() => {
                    if let Some(ImporterMsg::ReadHead { reply }) = told {
                        let head = BlockRef { height: Height::new(7), root: BlockRoot::ZERO };
                        reply.send(head).unwrap();
                    }
                }
                told = world.coordinator.told.recv() => {
                    if let Some(CoordinatorMsg::ShortOf { shortages }) = told
                        && world.budget.gauge().limit == BUDGET / 16
                    {
                        return shortages;
                    }
                }
            }
        }
    };
    let short = timeout(LONG, answering).await.expect("the budget stays");
    assert_eq!(short, [Shortage::Work { blocks: 4_000, seconds: None }]);
    world.tree.shutdown(LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn monitor_that_starts_again_finds_the_machine_as_it_is_by_then() {
    let mut world = World::new().await;
    world.machine.set(found(100, 7));
    world.told(|short| !short.is_empty()).await;
    assert!(world.child.kill());
    world.machine.set(found(100, 100_000));
    world.told(<[_]>::is_empty).await;
    assert!(world.gate.is_open(), "the gate outlived the monitor that closed it");
    world.tree.shutdown(LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn monitor_that_starts_again_gives_nothing_back_before_it_has_looked() {
    let mut world = World::new().await;
    world.machine.set(found(500, 7));
    while world.budget.gauge().limit > BUDGET / 4 {
        world.told(|short| short.len() == 2).await;
    }
    let left = world.budget.gauge().limit;
    world.machine.set(None);
    assert!(world.child.kill());
    world.child.running(LONG).await.unwrap();
    let waiting = Waiting { blocks: 0, head: Height::new(7) };
    for _ in 0..10 {
        world.child.cast(ResourceMsg::Waiting { waiting }).unwrap();
        tokio::time::sleep(TICK).await;
    }
    assert!(!world.gate.is_open());
    assert_eq!(world.budget.gauge().limit, left);
    // More than the reserve, but not by a quarter: as for the one before.
    world.machine.set(found(100, 1_100));
    world.told(|short| matches!(short[..], [.., Shortage::Disk { .. }])).await;
    assert!(!world.gate.is_open());
    world.machine.set(found(100, 100_000));
    world.told(<[_]>::is_empty).await;
    assert!(world.gate.is_open());
    assert_eq!(world.budget.gauge().limit, BUDGET);
    world.tree.shutdown(LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn machine_that_cannot_be_seen_changes_nothing() {
    let mut world = World::new().await;
    world.machine.set(found(100, 7));
    world.told(|short| !short.is_empty()).await;
    world.machine.set(None);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!world.gate.is_open());
    world.machine.set(found(100, 100_000));
    world.told(<[_]>::is_empty).await;
    assert!(world.gate.is_open());
    world.tree.shutdown(LONG).await.unwrap();
}
