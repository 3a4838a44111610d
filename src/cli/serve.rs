//! `serve`: blocks for others, without a sync.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use alys_sync::{
    adapters::{
        chain_file::ChainFile,
        libp2p::{Keypair, Libp2pStarter, load_or_create},
    },
    consensus::{BlockFault, ChainSpec, Verifier},
    ports::{BlockSource, NetworkEvent, NetworkEvents, NetworkStarter as _, SystemClock},
    resilience::GuardedSource,
    types::{Height, Multiaddr},
    wire::block::EncodedBlock,
};
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    Answer, Context, Ending, blocking,
    connections::ConnectionArgs,
    ending::print_line,
    input::{Source, SourceArgs, load_spec, multiaddr, open_existing_store},
    node::{NODE_KEY, seed_of},
    quota::QuotaArgs,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync serve --chain-spec chain.json --chain chain.bin --listen /ip4/127.0.0.1/tcp/0
  alys-sync serve --chain-spec chain.json --data-dir node \\
    --listen /ip4/0.0.0.0/tcp/9000 /ip4/0.0.0.0/udp/9000/quic-v1";

/// Reports of the network that wait to be taken in. Unit: reports. Too low: an address is not
/// printed. Too high: memory.
const REPORTS_MAX: usize = 256;

/// Serve the blocks of a chain file or a data directory to peers
///
/// Prints each address that peers can dial, on a line of its own, as soon as it listens there.
/// Serves until it is stopped. Of a chain file it checks that each block is canonical and follows
/// the one before, and that the last one is signed; `chain verify` checks every signature.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The chain specification: the node's own chain.json
    #[arg(long, value_name = "FILE")]
    chain_spec: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// Where to accept connections; port 0 means a free one
    #[arg(
        long, value_name = "MULTIADDR", num_args = 1.., required = true, value_parser = multiaddr
    )]
    listen: Vec<Multiaddr>,
    #[command(flatten)]
    connections: ConnectionArgs,
    /// The key that names this node; made if it is missing
    ///
    /// Without it the key of the data directory is used, and for a chain file a new one each time.
    #[arg(long, value_name = "FILE")]
    node_key: Option<PathBuf>,
    #[command(flatten)]
    quota: QuotaArgs,
    /// End when standard input does: for programs that start this one
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
}

/// Why blocks cannot be served.
#[derive(Debug, thiserror::Error)]
enum ServeFailure {
    #[error("the last block ({height}) is not of the chain that {} describes", spec.display())]
    OtherSpec {
        height: Height,
        spec: PathBuf,
        #[source]
        source: BlockFault,
    },
    #[error("the network has ended: {reason}")]
    NetworkEnded { reason: String },
}

struct Reports(mpsc::Sender<NetworkEvent>);

impl NetworkEvents for Reports {
    fn on_event(&self, event: NetworkEvent) {
        match &event {
            NetworkEvent::Listening { .. } | NetworkEvent::Stopped { .. } => {
                if self.0.try_send(event).is_err() {
                    tracing::warn!("a report of the network is lost: too many at once");
                }
            }
            NetworkEvent::Connected { peer, address, .. } => {
                tracing::info!(%peer, %address, "connected");
            }
            NetworkEvent::Moved { peer, address } => tracing::info!(%peer, %address, "moved"),
            NetworkEvent::Disconnected { peer, .. } => tracing::info!(%peer, "disconnected"),
            NetworkEvent::Misused { peer, misuse, times } => {
                tracing::warn!(%peer, ?misuse, times, "a peer misuses this server");
            }
            NetworkEvent::DialFailed { .. }
            | NetworkEvent::Discovered { .. }
            | NetworkEvent::Expired { .. } => {}
        }
    }
}

pub(crate) async fn serve(args: ServeArgs, context: Context) -> Result<Answer, Ending> {
    if args.exit_with_stdin {
        context.stop.with_stdin();
    }
    let options = args.connections.options(args.listen.clone(), args.quota.options());
    let (source, key) = blocking(move || prepare(args)).await?;
    let starter = Libp2pStarter::new(options, key);
    let (report, mut reports) = mpsc::channel(REPORTS_MAX);
    let head = source.head();
    // Dropping the network ends it.
    let _network =
        starter.start(source, Arc::new(Reports(report))).await.map_err(Ending::failed)?;
    tracing::info!(peer = %starter.peer_id(), %head, "serving");
    let mut listening = Vec::new();
    loop {
        let event = tokio::select! {
            event = reports.recv() => event,
            () = context.stop.asked() => break,
        };
        match event {
            Some(NetworkEvent::Listening { address }) => {
                print_line(&address.to_string());
                listening.push(address);
            }
            Some(NetworkEvent::Stopped { reason }) => {
                return Err(Ending::failed(ServeFailure::NetworkEnded { reason }));
            }
            Some(
                NetworkEvent::Connected { .. }
                | NetworkEvent::Moved { .. }
                | NetworkEvent::Disconnected { .. }
                | NetworkEvent::Misused { .. }
                | NetworkEvent::DialFailed { .. }
                | NetworkEvent::Discovered { .. }
                | NetworkEvent::Expired { .. },
            ) => {}
            None => {
                let reason = "it reports nothing any more".to_owned();
                return Err(Ending::failed(ServeFailure::NetworkEnded { reason }));
            }
        }
    }
    let json = json!({
        "peer": starter.peer_id().to_string(),
        "listening": listening,
        "height": head.height,
        "head": head.root,
    });
    Ok(Answer::new(String::new(), json))
}

/// Everything that blocks on disk.
fn prepare(args: ServeArgs) -> Result<(Arc<dyn BlockSource>, Keypair), Ending> {
    let spec = load_spec(&args.chain_spec)?;
    let from = Source::from(args.source);
    let source: Arc<dyn BlockSource> = match &from {
        Source::File(file) => Arc::new(ChainFile::open(file).map_err(Ending::bad_input)?),
        Source::DataDir(dir) => Arc::new(open_existing_store(dir, None)?.0),
    };
    check_head(&*source, spec, &args.chain_spec)?;
    let key_path = match (args.node_key, from) {
        (Some(path), _) => Some(path),
        (None, Source::DataDir(dir)) => Some(dir.join(NODE_KEY)),
        (None, Source::File(_)) => None,
    };
    let key = match key_path {
        Some(path) => load_or_create(&path).map_err(Ending::bad_input)?,
        None => Keypair::generate_ed25519(),
    };
    // A disk that fails is not read for every request of every peer.
    let guarded = GuardedSource::new(source, Arc::new(SystemClock::start()), seed_of(&key));
    Ok((Arc::new(guarded), key))
}

/// Whether the chain is the one that the specification describes, as far as one block tells.
fn check_head(source: &dyn BlockSource, spec: Arc<ChainSpec>, path: &Path) -> Result<(), Ending> {
    let height = source.head().height;
    if height == Height::GENESIS {
        return Ok(());
    }
    for raw in source.read(height, 1, usize::MAX).map_err(Ending::failed)? {
        let block = EncodedBlock::decode(raw).map_err(Ending::failed)?;
        let spec = Arc::clone(&spec);
        Verifier::new(spec).verify(block).map_err(|source| {
            Ending::bad_input(ServeFailure::OtherSpec { height, spec: path.to_owned(), source })
        })?;
    }
    Ok(())
}
