//! Processes of a measurement, as the one that measures sees them: this program again, in a role.
//!
//! A process says one line of JSON when it is ready, then one for each line that it is sent. It
//! ends when its standard input does, so that none outlives this one.

use std::{ffi::OsString, io, process::Stdio, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::roles::ProcessRole;

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
        role: ProcessRole,
        /// Why.
        source: io::Error,
    },
    /// It says nothing.
    #[error("the process that is {role} said nothing within {ANSWERS_WITHIN:?}")]
    Silent {
        /// What it is.
        role: ProcessRole,
    },
    /// It says something else.
    #[error("the process that is {role} said {said:?}")]
    Unclear {
        /// What it is.
        role: ProcessRole,
        /// What it said.
        said: String,
        /// Why that cannot be understood.
        source: serde_json::Error,
    },
}

/// A process. Dropping it kills it.
pub(super) struct Process {
    role: ProcessRole,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program in `role`; what it says once it is ready.
    pub(super) async fn start<T: DeserializeOwned>(
        role: ProcessRole,
        arguments: Vec<OsString>,
    ) -> Result<(Self, T), ProcessError> {
        let failed = |source| ProcessError::Io { role, source };
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .args(["abuse-role", role.name()])
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
        let mut process = Self { role, child, stdin, stdout };
        let ready = process.hear().await?;
        Ok((process, ready))
    }

    /// Sends it a line; what it answers.
    pub(super) async fn ask<T: DeserializeOwned>(&mut self) -> Result<T, ProcessError> {
        let role = self.role;
        let sent = self.stdin.write_all(b"\n").await;
        sent.map_err(|source| ProcessError::Io { role, source })?;
        self.hear().await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, ProcessError> {
        let (role, mut said) = (self.role, String::new());
        match timeout(ANSWERS_WITHIN, self.stdout.read_line(&mut said)).await {
            Err(_) => return Err(ProcessError::Silent { role }),
            Ok(Err(source)) => return Err(ProcessError::Io { role, source }),
            Ok(Ok(_)) => {}
        }
        serde_json::from_str(&said).map_err(|source| ProcessError::Unclear { role, said, source })
    }

    /// Ends it in order, and kills it if that takes too long.
    pub(super) async fn stop(self) -> Result<(), ProcessError> {
        let Self { role, mut child, stdin, stdout } = self;
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
