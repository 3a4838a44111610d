//! Supervision for [ractor] actors in the manner of Erlang/OTP.
//!
//! **Owns** starting children in order, restarting them by strategy within a budget, stopping them
//! in reverse order with their ends awaited, escalation with a typed reason, and addresses that
//! stay valid across restarts. **Does not own** what the children do, and keeps nothing of a dead
//! one: an incarnation rebuilds its state in `pre_start` from what is durable.
//!
//! **Failure.** A child that ends is restarted after its backoff; more restarts than the
//! [`Intensity`] allows end the supervisor with an [`Escalation`], after it has stopped its
//! children. A supervisor can be the child of another, which then sees that escalation as the error
//! of its child.
//!
//! A child that hangs looks alive. [`ChildSpec::watched`] has it asked for a sign of life, through
//! its mailbox, as its [`Heartbeat`] says: without an answer in time it is reported as
//! [`Report::Hung`], killed and restarted. One that hangs while it is to stop is killed when its
//! grace is over. One that blocks its thread cannot be killed, is reported as [`Report::Stuck`],
//! and is awaited; timers and sockets go on meanwhile where the runtime has another thread.
//!
//! **Invariants**, under any failure including a supervisor killed from outside:
//! - two incarnations of a child never overlap, `pre_start` included;
//! - a supervisor answers while its children start and stop;
//! - a child that is down answers [`SendError::Restarting`], one that will not come back
//!   [`SendError::Stopped`].
//!
//! What an actor has begun on a blocking thread outlives it, and nothing can stop that:
//! [`ChildSpec::ready_when`] has the next incarnation wait for it.
//!
//! An actor that links actors of its own below itself must await their ends in its `post_stop`;
//! ractor kills them without waiting when it crashes. A nested supervisor needs no such care.
//!
//! ```
//! use std::time::Duration;
//!
//! use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
//! use supervisors::{ChildHandle, ChildSpec, Intensity, Strategy, Supervisor, SupervisorSpec};
//!
//! enum CounterMsg {
//!     Add { amount: u64, reply: RpcReplyPort<u64> },
//! }
//!
//! struct Counter;
//!
//! impl Actor for Counter {
//!     type Msg = CounterMsg;
//!     type State = u64;
//!     type Arguments = u64;
//!
//!     async fn pre_start(
//!         &self,
//!         _: ActorRef<CounterMsg>,
//!         first: u64,
//!     ) -> Result<u64, ActorProcessingErr> {
//!         Ok(first)
//!     }
//!
//!     async fn handle(
//!         &self,
//!         _: ActorRef<CounterMsg>,
//!         CounterMsg::Add { amount, reply }: CounterMsg,
//!         sum: &mut u64,
//!     ) -> Result<(), ActorProcessingErr> {
//!         *sum = sum.checked_add(amount).expect("the example panics here");
//!         reply.send(*sum)?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let second = Duration::from_secs(1);
//! let counter = ChildHandle::new("counter");
//! let spec = SupervisorSpec::new(
//!     "root",
//!     Strategy::OneForOne,
//!     Intensity { max_restarts: 3, within: Duration::from_secs(60) },
//! )
//! .child(ChildSpec::new(&counter, || (Counter, 40)));
//! let tree = Supervisor::start(spec).await?;
//!
//! let add = |amount| move |reply| CounterMsg::Add { amount, reply };
//! assert_eq!(counter.call(add(2), second).await?, 42);
//!
//! // The child dies of this, and its supervisor starts it anew.
//! assert!(counter.call(add(u64::MAX), second).await.is_err());
//! while counter.running(second).await? == 1 {
//!     tokio::task::yield_now().await;
//! }
//! assert_eq!(counter.call(add(2), second).await?, 42);
//!
//! tree.shutdown(second).await?;
//! # Ok(())
//! # }
//! ```

mod actor;
mod clockwork;
mod decision;
mod exit;
mod handle;
mod incarnation;
mod message;
mod policy;
mod report;
mod roster;
mod spec;
mod tree;
mod vital;

pub use decision::ChildStatus;
pub use exit::{
    ChildError, ChildExit, Directive, Escalation, EscalationCause, ShutdownError, StartError,
    SupervisorExit,
};
pub use handle::{CallError, ChildHandle, SendError};
pub use message::{ChildView, SupervisorMsg};
pub use policy::{Backoff, Heartbeat, Intensity};
pub use report::{Report, ReportStream, Reports};
pub use spec::{ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
pub use tree::{Supervisor, SupervisorHandle};
pub use vital::{Strike, StruckDown, Vital};
