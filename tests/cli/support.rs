//! Chains in files, and the program as a process.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use alys_sync::{
    consensus::generate::{GenerateOptions, GeneratedChain, generate},
    types::BlockRoot,
    wire::chain_file::ChainFileWriter,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, Lines},
    net::TcpSocket,
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// Far more than any step needs: a test that hangs ends here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alys-sync"));
    command.args(args).kill_on_drop(true).env_remove("RUST_LOG");
    command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The object in the last line of standard output.
    pub(crate) fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("no output: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The object of a command that did its work.
    pub(crate) fn done(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json()
    }

    /// Ended with `code`, and said each of `texts` on standard error.
    pub(crate) fn refused(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        }
    }
}

/// Runs the program to its end.
pub(crate) async fn alys<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Outcome {
    alys_within(DEADLINE, args).await
}

/// The same where the end may take longer than any step.
pub(crate) async fn alys_within<S>(deadline: Duration, args: &[S]) -> Outcome
where
    S: AsRef<std::ffi::OsStr>,
{
    let output = timeout(deadline, command(args).output()).await.expect("it hangs").unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Where nobody listens, and what holds the port so that nobody else can meanwhile.
pub(crate) fn closed_port() -> (TcpSocket, SocketAddr) {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    (held, address)
}

/// The program while it runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stdout, stderr }
    }

    /// A server of `chain`, and where it listens.
    pub(crate) async fn serving(chain: &Chain) -> (Self, String) {
        let mut server = Self::start(&[
            "serve",
            "--chain-spec",
            chain.spec(),
            "--chain",
            chain.file(),
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ]);
        let address = server.line().await;
        (server, address)
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The next line of standard output.
    pub(crate) async fn line(&mut self) -> String {
        next(&mut self.stdout).await.expect("it ended without another line")
    }

    /// Reads standard error until a line has `text` in it.
    pub(crate) async fn until_says(&mut self, text: &str) {
        let mut said = Vec::new();
        while let Some(line) = next(&mut self.stderr).await {
            if line.contains(text) {
                return;
            }
            said.push(line);
        }
        panic!("it ended without saying {text:?}: {said:#?}");
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let kill = Command::new("kill").args([format!("-{name}"), id]).status();
        assert!(timeout(DEADLINE, kill).await.unwrap().unwrap().success());
    }

    /// Waits for its end, and for that of every process that writes to the same standard error.
    pub(crate) async fn ended(mut self) -> Outcome {
        let (status, stdout, stderr) = timeout(DEADLINE, async {
            tokio::join!(
                self.child.wait(),
                rest(self.stdout.into_inner()),
                rest(self.stderr.into_inner())
            )
        })
        .await
        .expect("it hangs");
        let status: ExitStatus = status.unwrap();
        Outcome { code: status.code(), stdout, stderr }
    }
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> Option<String> {
    timeout(DEADLINE, lines.next_line()).await.expect("it says nothing").unwrap()
}

async fn rest(mut reader: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    text
}

/// A generated chain in files, in a directory with room for more.
pub(crate) struct Chain {
    pub(crate) chain: GeneratedChain,
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) head: BlockRoot,
    dir: TempDir,
}

impl Chain {
    pub(crate) fn new(blocks: u64) -> Self {
        Self::with(GenerateOptions { blocks, ..GenerateOptions::default() })
    }

    pub(crate) fn with(options: GenerateOptions) -> Self {
        let chain = generate(options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut head = chain.genesis().root();
        let mut blocks = vec![chain.genesis().raw().to_vec()];
        for block in chain.blocks() {
            head = block.root();
            blocks.push(block.raw().to_vec());
        }
        fs::write(dir.path().join("chain.json"), chain.spec().to_json()).unwrap();
        let chain = Self { chain, blocks, head, dir };
        chain.write("chain.bin", &chain.blocks);
        chain.write("genesis.bin", &chain.blocks[..1]);
        chain
    }

    /// Writes a chain file of `blocks`, and returns its path.
    pub(crate) fn write(&self, name: &str, blocks: &[Vec<u8>]) -> String {
        let mut writer = ChainFileWriter::new(Vec::new());
        blocks.iter().for_each(|block| writer.write(block).unwrap());
        let path = self.path(name);
        fs::write(&path, writer.into_inner()).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).into_os_string().into_string().unwrap()
    }

    pub(crate) fn file(&self) -> &str {
        self.kept("chain.bin")
    }

    pub(crate) fn spec(&self) -> &str {
        self.kept("chain.json")
    }

    pub(crate) fn genesis(&self) -> &str {
        self.kept("genesis.bin")
    }

    /// The path as text that lives as long as the chain.
    fn kept(&self, name: &str) -> &str {
        let path: PathBuf = self.dir.path().join(name);
        Box::leak(path.into_os_string().into_string().unwrap().into_boxed_str())
    }
}

/// The names of the files in `dir`, in order.
pub(crate) fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
