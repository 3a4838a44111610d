//! What a process in a role says to the one that started it, and hears from it: lines on its
//! standard output and input.

use std::io::{self, Write as _};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin, stdin};

/// The conversation with the process that started this one.
pub(crate) struct Conversation {
    heard: Lines<BufReader<Stdin>>,
}

impl Conversation {
    /// Says that this process is ready.
    pub(crate) fn begin(ready: &impl Serialize) -> io::Result<Self> {
        say(ready)?;
        Ok(Self { heard: BufReader::new(stdin()).lines() })
    }

    /// Waits until this process is asked, and for what; `None` when it is to end. Cancel-safe.
    pub(crate) async fn asked(&mut self) -> io::Result<Option<String>> {
        self.heard.next_line().await
    }
}

/// Says one thing.
pub(crate) fn say(what: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, what)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}
