//! Keeps timers and sockets of the runtime going while a child blocks one of its threads.
//!
//! In tokio one idle thread at a time waits for timers and sockets, on behalf of all. When it wakes
//! it runs what has become ready before another takes its place, and it calls another only when it
//! has more than one task to run. If that task blocks, nothing that waits for a timer or a socket
//! ever goes on, although other threads are idle: the child that hangs could not even be noticed.
//! A task from outside the runtime wakes one of those, which then takes the place.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Time between two tasks from outside. Unit: time. Source: well below the shortest heartbeat that
/// is of use, and a few microseconds of CPU time each. Too low: an idle machine is kept awake; too
/// high: the whole runtime stands still that long when a child blocks.
const EVERY: Duration = Duration::from_millis(250);

/// Goes on until dropped.
#[derive(Debug)]
pub(crate) struct Clockwork {
    /// Dropping it ends the thread.
    _alive: Sender<()>,
}

impl Clockwork {
    /// For the runtime that this runs in. `None` where it would be of no use, for a runtime of one
    /// thread stands still with it, and where the system gives no thread: the tree does without.
    pub(crate) fn start() -> Option<Self> {
        let runtime = Handle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return None;
        }
        let (alive, ended) = mpsc::channel();
        let keep_going = move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                drop(runtime.spawn(async {}));
            }
        };
        match std::thread::Builder::new().name("clockwork".to_owned()).spawn(keep_going) {
            Ok(_) => Some(Self { _alive: alive }),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "no thread to keep timers going: a child that blocks may stop them all"
                );
                None
            }
        }
    }
}
