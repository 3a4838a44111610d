//! An actor that dies in every way an actor can, and a journal of what happened to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use supervisors::{
    Backoff, ChildExit, ChildHandle, ChildSpec, Heartbeat, Intensity, Report, ReportStream,
    Shutdown, Strategy, SupervisorSpec, Vital,
};
use tokio::sync::oneshot;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const GRACE: Duration = Duration::from_millis(500);
pub(crate) const AMPLE: Intensity =
    Intensity { max_restarts: 1_000, within: Duration::from_secs(60) };

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) enum ProbeMsg {
    Panic,
    Fail {
        code: u32,
    },
    Hang,
    Block(Block),
    /// To block in the same breath in which the next question is answered.
    BlockOnceAsked(Block),
    Quit,
    StopParent,
    UnlinkAndQuit,
    QuitWithBomb,
    Echo {
        reply: RpcReplyPort<u64>,
    },
    Hold {
        reply: RpcReplyPort<u64>,
    },
    Vital(Vital),
}

/// Blocks the thread that handles it.
pub(crate) struct Block {
    entered: oneshot::Sender<()>,
    until: mpsc::Receiver<()>,
}

impl Block {
    /// With what tells that the thread is blocked, and what lets it go.
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>, mpsc::Sender<()>) {
        let (entered, inside) = oneshot::channel();
        let (let_go, until) = mpsc::channel();
        (Self { entered, until }, inside, let_go)
    }

    fn block(self) {
        self.entered.send(()).unwrap();
        self.until.recv().unwrap();
    }
}

impl From<Vital> for ProbeMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("code {code}")]
pub(crate) struct ProbeError {
    pub(crate) code: u32,
}

/// How the nth start of a probe goes, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Succeed,
    Fail,
    Panic,
    Hang,
    FailAfterwards,
}

#[derive(Debug, Default)]
struct Pages {
    lines: Vec<String>,
    alive: BTreeMap<&'static str, usize>,
    starts: BTreeMap<&'static str, u64>,
}

/// What happened to all probes of a test, in order. Panics the test when two incarnations of one
/// probe overlap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

impl Journal {
    fn write(&self, line: String) {
        self.0.lock().unwrap().lines.push(line);
    }

    /// The lines since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    fn enter(&self, id: &'static str) -> (u64, Alive) {
        let mut pages = self.0.lock().unwrap();
        let alive = pages.alive.entry(id).or_default();
        *alive += 1;
        if *alive > 1 {
            pages.lines.push(format!("{id} OVERLAPS"));
        }
        let start = pages.starts.entry(id).or_default();
        *start += 1;
        (*start, Alive { id, journal: self.clone() })
    }
}

pub(crate) struct Alive {
    id: &'static str,
    journal: Journal,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.journal.write(format!("{} gone", self.id));
        *self.journal.0.lock().unwrap().alive.get_mut(self.id).unwrap() -= 1;
    }
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("panics when dropped");
    }
}

type Plan = Arc<dyn Fn(u64) -> Start + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Probe {
    id: &'static str,
    journal: Journal,
    plan: Plan,
    post_stop: Duration,
}

pub(crate) struct ProbeState {
    start: u64,
    held: Vec<RpcReplyPort<u64>>,
    bomb: Option<Bomb>,
    block: Option<Block>,
    _alive: Alive,
}

impl Actor for Probe {
    type Msg = ProbeMsg;
    type State = ProbeState;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<ProbeMsg>,
        (): (),
    ) -> Result<ProbeState, ActorProcessingErr> {
        let (start, alive) = self.journal.enter(self.id);
        match (self.plan)(start) {
            Start::Succeed | Start::FailAfterwards => {}
            Start::Fail => return Err(Box::new(ProbeError { code: 0 })),
            Start::Panic => panic!("panics in pre_start"),
            Start::Hang => std::future::pending().await,
        }
        self.journal.write(format!("{} up", self.id));
        Ok(ProbeState { start, held: Vec::new(), bomb: None, block: None, _alive: alive })
    }

    async fn post_start(
        &self,
        _: ActorRef<ProbeMsg>,
        state: &mut ProbeState,
    ) -> Result<(), ActorProcessingErr> {
        match (self.plan)(state.start) {
            Start::FailAfterwards => Err(Box::new(ProbeError { code: 1 })),
            Start::Succeed | Start::Fail | Start::Panic | Start::Hang => Ok(()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<ProbeMsg>,
        message: ProbeMsg,
        state: &mut ProbeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProbeMsg::Panic => panic!("panics in a handler"),
            ProbeMsg::Fail { code } => return Err(Box::new(ProbeError { code })),
            ProbeMsg::Hang => std::future::pending().await,
            ProbeMsg::Block(block) => block.block(),
            ProbeMsg::BlockOnceAsked(block) => state.block = Some(block),
            ProbeMsg::Quit => myself.stop(None),
            ProbeMsg::StopParent => myself.try_get_supervisor().unwrap().stop(None),
            ProbeMsg::QuitWithBomb => {
                state.bomb = Some(Bomb);
                myself.stop(None);
            }
            ProbeMsg::UnlinkAndQuit => {
                myself.unlink(myself.try_get_supervisor().unwrap());
                myself.stop(None);
            }
            ProbeMsg::Echo { reply } => reply.send(state.start)?,
            ProbeMsg::Hold { reply } => state.held.push(reply),
            ProbeMsg::Vital(vital) => {
                vital.obey().await?;
                if let Some(block) = state.block.take() {
                    block.block();
                }
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<ProbeMsg>,
        _: &mut ProbeState,
    ) -> Result<(), ActorProcessingErr> {
        tokio::time::sleep(self.post_stop).await;
        self.journal.write(format!("{} stopped", self.id));
        Ok(())
    }
}

impl Probe {
    pub(crate) fn new(id: &'static str, journal: &Journal) -> Self {
        let journal = journal.clone();
        Self { id, journal, plan: Arc::new(|_| Start::Succeed), post_stop: ms(20) }
    }

    pub(crate) fn plan(mut self, plan: impl Fn(u64) -> Start + Send + Sync + 'static) -> Self {
        self.plan = Arc::new(plan);
        self
    }

    pub(crate) fn handle(&self) -> ChildHandle<ProbeMsg> {
        ChildHandle::new(self.id)
    }

    pub(crate) fn spec(self, handle: &ChildHandle<ProbeMsg>) -> ChildSpec {
        ChildSpec::new(handle, move || (self.clone(), ())).shutdown(Shutdown { grace: GRACE })
    }
}

/// A probe that hangs is noticed after 5 to 6 s.
pub(crate) const HEARTBEAT: Heartbeat = Heartbeat { every: SECOND, within: Duration::from_secs(5) };

/// A child that is asked for signs of life, with its handle.
pub(crate) fn watched(id: &'static str, journal: &Journal) -> (ChildHandle<ProbeMsg>, ChildSpec) {
    let probe = Probe::new(id, journal);
    let handle = probe.handle();
    let spec = ChildSpec::watched(&handle, HEARTBEAT, move || (probe.clone(), ()))
        .shutdown(Shutdown { grace: GRACE });
    (handle, spec)
}

/// A child with its handle, of the default kind.
pub(crate) fn child(id: &'static str, journal: &Journal) -> (ChildHandle<ProbeMsg>, ChildSpec) {
    let probe = Probe::new(id, journal);
    let handle = probe.handle();
    let spec = probe.spec(&handle);
    (handle, spec)
}

pub(crate) fn root(strategy: Strategy, intensity: Intensity) -> SupervisorSpec {
    SupervisorSpec::new("root", strategy, intensity)
}

pub(crate) fn slow_backoff() -> Backoff {
    Backoff { first: SECOND, max: SECOND, reset_after: Duration::from_secs(600) }
}

pub(crate) async fn until_scheduled(reports: &mut ReportStream) -> Duration {
    until(reports, |report| {
        let Report::RestartScheduled { delay, .. } = report else { return None };
        Some(*delay)
    })
    .await
}

pub(crate) async fn until_exited(reports: &mut ReportStream, child: &'static str) -> ChildExit {
    until(reports, |report| {
        let Report::Exited { id, exit, .. } = report else { return None };
        (*id == child).then(|| exit.clone())
    })
    .await
}

/// Which start of the probe answers.
pub(crate) async fn echo(handle: &ChildHandle<ProbeMsg>) -> Result<u64, supervisors::CallError> {
    handle.call(|reply| ProbeMsg::Echo { reply }, SECOND).await
}

/// Reads reports up to the first that `wanted` makes something of.
pub(crate) async fn until<T>(
    reports: &mut ReportStream,
    wanted: impl Fn(&Report) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let report = reports.next().await.expect("the tree is alive");
            if let Some(found) = wanted(&report) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), search).await.expect("reported in time")
}

pub(crate) async fn until_started(reports: &mut ReportStream, child: &'static str, number: u64) {
    until(reports, |report| {
        let is_it = |id, incarnation| id == child && incarnation == number;
        matches!(report, Report::Started { id, incarnation } if is_it(*id, *incarnation))
            .then_some(())
    })
    .await;
}
