//! A process in a role, as the one that started it sees it.
//!
//! A process says one line of JSON when it is ready, then one for each line that it is sent, and
//! what it has to say of its own accord. It ends when its standard input does, so that none
//! outlives this one.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long an answer may take. Unit: time. Source: a sync on a slow machine is the longest of
/// them. Too low: it measures nothing. Too high: a process that hangs is told late.
const ANSWERS_WITHIN: Duration = Duration::from_secs(600);

/// How long a process may take to end once it was told to. Unit: time.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Why a process is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It does not start, or cannot be talked to.
    #[error("the process that is {role} cannot be talked to")]
    Io {
        /// What it is.
        role: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It says nothing.
    #[error("the process that is {role} said nothing within {ANSWERS_WITHIN:?}")]
    Silent {
        /// What it is.
        role: &'static str,
    },
    /// It says something else.
    #[error("the process that is {role} said {said:?}")]
    Unclear {
        /// What it is.
        role: &'static str,
        /// What it said.
        said: String,
        /// Why that cannot be understood.
        source: serde_json::Error,
    },
}

/// A process. Dropping it kills it.
pub(crate) struct Process {
    role: &'static str,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The beginning of a line that is not there as a whole yet.
    begun: Vec<u8>,
}

impl Process {
    /// Starts this program in `role` with these arguments; what it says once it is ready.
    pub(crate) async fn start<T: DeserializeOwned>(
        role: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, T), ProcessError> {
        let program = env::current_exe().map_err(|source| ProcessError::Io { role, source })?;
        let mut process = Self::run(role, program, arguments)?;
        let ready = process.hear().await?;
        Ok((process, ready))
    }

    /// Starts `program`, which is to play `role` in the end.
    pub(crate) fn run(
        role: &'static str,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Io { role, source };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let missing = || failed(io::ErrorKind::BrokenPipe.into());
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self { role, child, stdin, stdout, begun: Vec::new() })
    }

    /// Sends it an empty line; what it answers.
    pub(crate) async fn ask<T: DeserializeOwned>(&mut self) -> Result<T, ProcessError> {
        self.send(b"\n").await?;
        self.hear().await
    }

    /// Sends it a line that says what it is to do.
    pub(crate) async fn order(&mut self, order: &impl Serialize) -> Result<(), ProcessError> {
        let role = self.role;
        let line = serde_json::to_vec(order).map_err(io::Error::from);
        let mut line = line.map_err(|source| ProcessError::Io { role, source })?;
        line.push(b'\n');
        self.send(&line).await
    }

    async fn send(&mut self, line: &[u8]) -> Result<(), ProcessError> {
        let role = self.role;
        let sent = self.stdin.write_all(line).await;
        sent.map_err(|source| ProcessError::Io { role, source })
    }

    /// What it says next.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, ProcessError> {
        let role = self.role;
        let ended = || ProcessError::Io { role, source: io::ErrorKind::UnexpectedEof.into() };
        self.hear_until_end().await?.ok_or_else(ended)
    }

    /// What it says next; `None` once it has ended. Cancel-safe.
    pub(crate) async fn hear_until_end<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<T>, ProcessError> {
        let role = self.role;
        match timeout(ANSWERS_WITHIN, self.stdout.read_until(b'\n', &mut self.begun)).await {
            Err(_) => return Err(ProcessError::Silent { role }),
            Ok(Err(source)) => return Err(ProcessError::Io { role, source }),
            Ok(Ok(_)) => {}
        }
        let said = String::from_utf8_lossy(&std::mem::take(&mut self.begun)).into_owned();
        // A line without its end is one that a kill has cut: it was not said.
        if !said.ends_with('\n') {
            return Ok(None);
        }
        let heard = serde_json::from_str(&said);
        heard.map(Some).map_err(|source| ProcessError::Unclear { role, said, source })
    }

    /// Kills it and all that it has started, with SIGKILL. What it said before can still be heard.
    pub(crate) fn kill_now(&self) -> Result<(), ProcessError> {
        self.signal(Signal::KILL)
    }

    /// Stops it where it is: its connections and files stay open.
    pub(crate) fn stop_now(&self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Process::stop_now`].
    pub(crate) fn go_on(&self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let failed = |source| ProcessError::Io { role: self.role, source };
        // One that has ended and was waited for has no number any more.
        let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) else {
            return Ok(());
        };
        let Some(group) = Pid::from_raw(pid) else { return Ok(()) };
        match kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Waits until it has ended by itself or was killed.
    pub(crate) async fn ended(mut self) -> Result<(), ProcessError> {
        let role = self.role;
        match timeout(ENDS_WITHIN, self.child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(|source| ProcessError::Io { role, source }),
            Err(_) => Err(ProcessError::Silent { role }),
        }
    }

    /// Ends it in order, and kills it if that takes too long.
    pub(crate) async fn stop(self) -> Result<(), ProcessError> {
        let Self { role, mut child, stdin, stdout, begun: _ } = self;
        drop(stdin);
        let ended = timeout(ENDS_WITHIN, child.wait()).await;
        drop(stdout);
        let ended = match ended {
            Ok(ended) => ended.map(|_| ()),
            Err(_) => child.kill().await,
        };
        ended.map_err(|source| ProcessError::Io { role, source })
    }
}
