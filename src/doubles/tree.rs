//! Supervision for one actor under test, among siblings that only record what they are told.

use std::{marker::PhantomData, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use supervisors::{
    ChildExit, ChildHandle, ChildSpec, Intensity, Report, ReportStream, Strategy, Supervisor,
    SupervisorHandle, SupervisorSpec,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// An actor that passes on every message it gets.
pub(crate) struct Recorder<M>(PhantomData<fn(M)>);

impl<M> Default for Recorder<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: Message> Actor for Recorder<M> {
    type Msg = M;
    type State = UnboundedSender<M>;
    type Arguments = UnboundedSender<M>;

    async fn pre_start(
        &self,
        _: ActorRef<M>,
        sender: UnboundedSender<M>,
    ) -> Result<UnboundedSender<M>, ActorProcessingErr> {
        Ok(sender)
    }

    async fn handle(
        &self,
        _: ActorRef<M>,
        message: M,
        sender: &mut UnboundedSender<M>,
    ) -> Result<(), ActorProcessingErr> {
        // A test that no longer looks has seen what it wanted.
        let _ = sender.send(message);
        Ok(())
    }
}

/// A sibling that records: its address, its place in the tree, what it was told.
pub(crate) struct Recorded<M> {
    pub(crate) handle: ChildHandle<M>,
    pub(crate) spec: ChildSpec,
    pub(crate) told: UnboundedReceiver<M>,
}

/// A recording sibling called `id`.
pub(crate) fn recorded<M: Message>(id: &'static str) -> Recorded<M> {
    let (sender, told) = mpsc::unbounded_channel();
    let handle = ChildHandle::new(id);
    let spec = ChildSpec::new(&handle, move || (Recorder::default(), sender.clone()));
    Recorded { handle, spec, told }
}

/// A tree of `children` that forgives five failures.
pub(crate) async fn tree(children: impl IntoIterator<Item = ChildSpec>) -> SupervisorHandle {
    let intensity = Intensity { max_restarts: 5, within: Duration::from_secs(60) };
    let spec = SupervisorSpec::new("tree", Strategy::OneForOne, intensity);
    let spec = children.into_iter().fold(spec, SupervisorSpec::child);
    Supervisor::start(spec).await.unwrap()
}

/// How the next incarnation of `id` to end did so.
pub(crate) async fn exit_of(id: &str, reports: &mut ReportStream) -> ChildExit {
    loop {
        match reports.next().await.unwrap() {
            Report::Exited { id: ended, exit, .. } if ended == id => return exit,
            Report::Stopped { .. } => panic!("the tree ended before {id} did"),
            Report::Started { .. }
            | Report::Exited { .. }
            | Report::RestartScheduled { .. }
            | Report::GraceExceeded { .. }
            | Report::Hung { .. }
            | Report::Stuck { .. }
            | Report::LeftDown { .. }
            | Report::Escalated(_)
            | Report::Lagged { .. } => {}
        }
    }
}
