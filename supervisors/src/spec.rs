//! Specifications: what a supervisor starts, how it restarts it, and how it ends it.
//!
//! A specification is data plus a factory; it starts nothing by itself and can start its child any
//! number of times.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::Actor;

use crate::actor::SupervisorLauncher;
use crate::exit::{ChildExit, Directive};
use crate::handle::ChildHandle;
use crate::incarnation::{ActorLauncher, BoxFuture, KILL_PATIENCE, Launch};
use crate::message::SupervisorMsg;
use crate::policy::{Backoff, Heartbeat, Intensity};
use crate::report::Reports;
use crate::vital::{SendVital, Vital, send_vital};

/// Default grace. Unit: time. Source: OTP's 5 s for workers. Too low: a child is killed amid its
/// last write; too high: a child that hangs holds up every stop.
const GRACE: Duration = Duration::from_secs(5);

/// Default time for `pre_start`. Unit: time. Source: opening a large store takes seconds. Too low:
/// a slow disk becomes a restart loop; too high: a hanging start goes unnoticed.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Which children are restarted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the one that ended.
    OneForOne,
    /// The one that ended and those started after it.
    RestForOne,
    /// All.
    OneForAll,
}

/// When an ended child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// After an abnormal exit; a kill from outside is one.
    Transient,
    /// Never, nor with its siblings.
    Temporary,
}

/// How a child is ended: it is asked to stop, and killed when the grace is over. Its end is
/// awaited either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Time to finish the running handler and `post_stop`; zero kills almost at once.
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: GRACE }
    }
}

type Readiness = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;
type ExitHook = Arc<dyn Fn(&ChildExit) -> Directive + Send + Sync>;

/// How a child is asked for signs of life.
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    pub(crate) heartbeat: Heartbeat,
    pub(crate) send: SendVital,
}

/// How one child is started, restarted and ended.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) launcher: Arc<dyn Launch>,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) backoff: Backoff,
    pub(crate) intensity: Option<Intensity>,
    pub(crate) watch: Option<Watch>,
    pub(crate) start_within: Duration,
    pub(crate) ready: Option<Readiness>,
    on_exit: Option<ExitHook>,
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id())
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .finish_non_exhaustive()
    }
}

impl ChildSpec {
    /// A permanent child, reached through `handle`; `factory` makes the actor and its arguments
    /// for each incarnation. Use each handle in one specification only.
    pub fn new<A, F>(handle: &ChildHandle<A::Msg>, factory: F) -> Self
    where
        A: Actor,
        F: Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    {
        let launcher = ActorLauncher::<A>::new(Arc::clone(handle.slot()), Box::new(factory));
        Self::with_launcher(Arc::new(launcher), Shutdown::default(), START_WITHIN)
    }

    /// As [`Self::new`], and the child is killed and restarted when it gives no sign of life.
    pub fn watched<A, F>(handle: &ChildHandle<A::Msg>, heartbeat: Heartbeat, factory: F) -> Self
    where
        A: Actor,
        A::Msg: From<Vital>,
        F: Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    {
        let mut child = Self::new::<A, F>(handle, factory);
        child.watch = Some(Watch { heartbeat, send: send_vital::<A::Msg> });
        child
    }

    /// A permanent child that is a supervisor with children of its own. When it escalates, its
    /// parent finds the [`Escalation`](crate::Escalation) in [`ChildExit::Failed`]. Its grace and
    /// its time to start are, unless set, enough for its children one after the other.
    pub fn supervisor(spec: SupervisorSpec) -> Self {
        let (mut grace, mut starts) = (KILL_PATIENCE, KILL_PATIENCE);
        for child in &spec.children {
            let stop = child.shutdown.grace.saturating_add(KILL_PATIENCE);
            grace = grace.saturating_add(stop);
            starts = starts.saturating_add(child.start_within);
        }
        let launcher = SupervisorLauncher::new(Arc::new(spec));
        // A start that fails at the last child stops all the others.
        Self::with_launcher(Arc::new(launcher), Shutdown { grace }, starts.saturating_add(grace))
    }

    /// A supervisor without a parent. Its children have times to start of their own.
    pub(crate) fn root(launcher: Arc<SupervisorLauncher>) -> Self {
        Self::with_launcher(launcher, Shutdown::default(), Duration::MAX)
    }

    fn with_launcher(
        launcher: Arc<dyn Launch>,
        shutdown: Shutdown,
        start_within: Duration,
    ) -> Self {
        Self {
            launcher,
            restart: Restart::Permanent,
            shutdown,
            backoff: Backoff::default(),
            intensity: None,
            watch: None,
            start_within,
            ready: None,
            on_exit: None,
        }
    }

    /// The id of the child.
    pub fn id(&self) -> &'static str {
        self.launcher.address().id()
    }

    /// Sets when the child is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets how the child is ended.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sets the delays between restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Gives the child a restart budget of its own, beside that of its supervisor. Its delays must
    /// let it be exceeded: a child that fails at each start must not be tried for ever, at the pace
    /// of the longest delay.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = Some(intensity);
        self
    }

    /// Sets the time `pre_start` may take; a start that takes longer has failed.
    #[must_use]
    pub fn start_within(mut self, start_within: Duration) -> Self {
        self.start_within = start_within;
        self
    }

    /// Sets what every start waits for before the factory is asked, within the time to start: work
    /// that outlives an incarnation, as work on a blocking thread does, which nothing can stop.
    #[must_use]
    pub fn ready_when<F, T>(mut self, ready: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.ready = Some(Arc::new(move || Box::pin(ready())));
        self
    }

    /// Sets the verdict on exits of this child. It runs inside the supervisor, so it must neither
    /// block nor panic; a panic ends the supervisor. It is not asked about the plain end of a
    /// child that the supervisor stopped, nor during shutdown.
    #[must_use]
    pub fn on_exit<F>(mut self, hook: F) -> Self
    where
        F: Fn(&ChildExit) -> Directive + Send + Sync + 'static,
    {
        self.on_exit = Some(Arc::new(hook));
        self
    }

    pub(crate) fn verdict(&self, exit: &ChildExit) -> Directive {
        self.on_exit.as_ref().map_or(Directive::ByRestartKind, |hook| hook(exit))
    }
}

/// A supervisor and its children in start order.
#[derive(Debug)]
pub struct SupervisorSpec {
    pub(crate) handle: ChildHandle<SupervisorMsg>,
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) children: Vec<ChildSpec>,
    pub(crate) reports: Reports,
}

impl SupervisorSpec {
    /// A supervisor without children.
    pub fn new(id: &'static str, strategy: Strategy, intensity: Intensity) -> Self {
        Self {
            handle: ChildHandle::new(id),
            strategy,
            intensity,
            children: Vec::new(),
            reports: Reports::default(),
        }
    }

    /// Adds a child, to be started after those added before and stopped before them.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Sends the reports of this supervisor there instead of to a stream of its own.
    #[must_use]
    pub fn reports_to(mut self, reports: &Reports) -> Self {
        self.reports = reports.clone();
        self
    }

    /// Where this supervisor sends its reports.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// The stable address of this supervisor, for a look at the children of a nested one.
    pub fn handle(&self) -> ChildHandle<SupervisorMsg> {
        self.handle.clone()
    }

    pub(crate) fn id(&self) -> &'static str {
        self.handle.id()
    }

    pub(crate) fn duplicate_child(&self) -> Option<&'static str> {
        let ids: Vec<_> = self.children.iter().map(ChildSpec::id).collect();
        ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id)).map(|(_, id)| *id)
    }
}
