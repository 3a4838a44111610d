//! Asking a command to end in order, and noticing it.
//!
//! The first Ctrl-C or SIGTERM asks; the second ends the process at once. What is durable stays
//! durable either way.

use std::{io, io::Read as _};

use tokio::sync::watch;

/// The exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// Whether the command was asked to end. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
    ask: watch::Sender<bool>,
}

/// The command was asked to end before its work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Stopped;

impl Stop {
    /// Listens to the signals from now on. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the operating system does not let us listen.
    pub(crate) fn on_signals() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (ask, asked) = watch::channel(false);
        let stop = Self { asked, ask: ask.clone() };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if ask.send_replace(true) {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
        Ok(stop)
    }

    /// Asks to end as soon as standard input does: when the process that started us is gone.
    pub(crate) fn with_stdin(&self) {
        let ask = self.ask.clone();
        // Not a task: a runtime that ends would wait for a read that nobody answers.
        std::thread::spawn(move || {
            let mut ignored = [0; 256];
            while io::stdin().lock().read(&mut ignored).is_ok_and(|read| read > 0) {}
            ask.send_replace(true);
        });
    }

    /// Fails as soon as the command was asked to end.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if *self.asked.borrow() { Err(Stopped) } else { Ok(()) }
    }

    /// Waits until the command is asked to end. Cancel-safe.
    pub(crate) async fn asked(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.asked.clone().wait_for(|asked| *asked).await;
    }
}
