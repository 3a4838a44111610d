//! The serving peers of a demo or a measurement: processes of their own, none of which outlives
//! this one.
//!
//! Each is this program with `serve` or another command that serves. It ends when its standard
//! input does, so that even a demo that is killed leaves none behind, and is in a process group of
//! its own, so that a Ctrl-C reaches the demo alone and the peers last as long as the demo wants
//! them.

use std::{
    ffi::OsString,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use alys_sync::types::Multiaddr;
use futures::future::{join_all, select_all, try_join_all};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
    time::timeout,
};

use super::{Ending, Prepared};

/// How long a peer may take until it listens: it reads the whole chain first. Too low: a long chain
/// on a slow disk fails. Too high: a peer that hangs is told late.
const LISTENS_WITHIN: Duration = Duration::from_secs(300);

/// How long a peer may take to end once it was told to.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Why a serving peer is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerFailure {
    #[error("cannot start a serving process")]
    Start(#[source] io::Error),
    #[error("cannot read what serving process {number} says")]
    Read {
        number: usize,
        #[source]
        source: io::Error,
    },
    #[error("serving process {number} said nothing within {LISTENS_WITHIN:?}")]
    Silent { number: usize },
    #[error("serving process {number} ended with {status} instead of listening")]
    EndedEarly { number: usize, status: ExitStatus },
    #[error("serving process {number} said {said:?}, which is no address")]
    NoAddress { number: usize, said: String },
    #[error("serving process {number} ended during the sync")]
    Ended { number: usize },
}

/// The processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    number: usize,
    address: Multiaddr,
    child: Mutex<Child>,
    /// Open as long as the process is wanted.
    stdin: ChildStdin,
    /// Open, so that nothing it says fails.
    _stdout: BufReader<ChildStdout>,
}

impl Servers {
    /// Starts `count` processes that serve the chain, and waits until each of them listens.
    pub(crate) async fn start(prepared: &Prepared, count: u8) -> Result<Self, Ending> {
        let mut serve = Vec::from(
            ["serve", "--exit-with-stdin", "--listen", "/ip4/127.0.0.1/tcp/0"].map(OsString::from),
        );
        serve.extend(["--chain-spec".into(), prepared.spec_file.clone().into()]);
        serve.extend(["--chain".into(), prepared.chain.clone().into()]);
        Self::start_with(&serve, count).await
    }

    /// Starts `count` processes of this program with the arguments `serve`, and waits until each of
    /// them has printed where it listens. They must end when their standard input does.
    pub(crate) async fn start_with(serve: &[OsString], count: u8) -> Result<Self, Ending> {
        let all = (1..=usize::from(count)).map(|number| Server::start(serve, number));
        let servers = try_join_all(all).await.map_err(Ending::failed)?;
        Ok(Self { servers })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        self.servers.iter().map(|server| server.address.clone()).collect()
    }

    /// Waits until one of them has ended by itself. Cancel-safe.
    pub(crate) async fn one_ended(&self) -> ServerFailure {
        let ends = self.servers.iter().map(|server| {
            Box::pin(async {
                // Nobody waits for the others' locks: each has its own.
                let _ = server.child.lock().await.wait().await;
                server.number
            })
        });
        let (number, _, _) = select_all(ends).await;
        ServerFailure::Ended { number }
    }

    /// Ends them in order; kills those that do not.
    pub(crate) async fn stop(self) {
        join_all(self.servers.into_iter().map(Server::stop)).await;
    }
}

impl Server {
    async fn start(serve: &[OsString], number: usize) -> Result<Self, ServerFailure> {
        let program = std::env::current_exe().map_err(ServerFailure::Start)?;
        let mut child = Command::new(program)
            .args(serve)
            .args(["--log", "warn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(ServerFailure::Start)?;
        let missing = || ServerFailure::Start(io::ErrorKind::BrokenPipe.into());
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut said = String::new();
        match timeout(LISTENS_WITHIN, stdout.read_line(&mut said)).await {
            Err(_) => return Err(ServerFailure::Silent { number }),
            Ok(Err(source)) => return Err(ServerFailure::Read { number, source }),
            Ok(Ok(0)) => {
                let status = child.wait().await.map_err(ServerFailure::Start)?;
                return Err(ServerFailure::EndedEarly { number, status });
            }
            Ok(Ok(_)) => {}
        }
        let address = said.trim().parse().map_err(|_| {
            let said = said.trim().chars().take(200).collect();
            ServerFailure::NoAddress { number, said }
        })?;
        Ok(Self { number, address, child: Mutex::new(child), stdin, _stdout: stdout })
    }

    async fn stop(self) {
        drop(self.stdin);
        let mut child = self.child.into_inner();
        if timeout(ENDS_WITHIN, child.wait()).await.is_err() {
            // One that has ended meanwhile needs no killing.
            let _ = child.kill().await;
        }
    }
}
