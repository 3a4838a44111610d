//! `bench sync-server`: a peer that serves a chain badly, in a process of its own. For `bench sync`
//! only; good peers are `alys-sync serve`.

use std::{path::PathBuf, sync::Arc};

use alys_sync::{
    adapters::{
        chain_file::ChainFile,
        libp2p::{
            Keypair,
            raw_server::{RawReply, RawRequest, RawServer},
        },
    },
    ports::{BlockSource, NetworkEvent, NetworkEvents},
    types::Multiaddr,
    wire::{
        request::{BlocksByRangeRequest, FixedMessage as _},
        response::encode_block_chunk,
    },
};
use clap::{Args, ValueEnum};
use libp2p::multiaddr::Protocol;
use tokio::sync::mpsc;

use crate::cli::{Answer, Context, Ending, blocking, ending::print_line};

/// What is sent of a reply before the peer hangs. Unit: bytes. Source: the promise that is
/// measured names 1 KiB.
const SENT_BEFORE_HANGING: usize = 1 << 10;

/// Reports of the network that wait. Unit: reports. It listens on two transports; nobody waits for
/// the others.
const REPORTS_MAX: usize = 64;

/// A peer that serves a chain badly
#[derive(Debug, Args)]
pub(crate) struct FaultyServerArgs {
    #[arg(long)]
    chain: PathBuf,
    #[arg(long, value_enum)]
    fault: Fault,
}

/// What is wrong with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// It answers every request with its first block and no more, as many of today's nodes do.
    OneBlock,
    /// It sends 1 KiB of each reply and then nothing, without closing the stream. Requests for one
    /// block are answered: by those a peer is checked, and one that fails them is never asked.
    Hangs,
}

struct Reports(mpsc::Sender<NetworkEvent>);

impl NetworkEvents for Reports {
    fn on_event(&self, event: NetworkEvent) {
        // Once it listens nobody waits for a report.
        let _ = self.0.try_send(event);
    }
}

pub(crate) async fn sync_server(
    args: FaultyServerArgs,
    context: Context,
) -> Result<Answer, Ending> {
    context.stop.with_stdin();
    let FaultyServerArgs { chain, fault } = args;
    let chain = blocking(move || ChainFile::open(&chain).map_err(Ending::bad_input)).await?;
    let chain: Arc<dyn BlockSource> = Arc::new(chain);
    let (report, mut reports) = mpsc::channel(REPORTS_MAX);
    let script = move |request: RawRequest| {
        let chain = Arc::clone(&chain);
        Box::pin(answer(request, chain, fault)) as _
    };
    let key = Keypair::generate_ed25519();
    let server = RawServer::start(key, Arc::new(Reports(report)), script).await;
    // Dropping the server ends it.
    let _server = server.map_err(Ending::failed)?;
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            () = context.stop.asked() => break,
        };
        match report {
            Some(NetworkEvent::Listening { address }) if is_tcp(&address) => {
                print_line(&address.to_string());
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(Answer::default())
}

fn is_tcp(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Tcp(_)))
}

async fn answer(request: RawRequest, chain: Arc<dyn BlockSource>, fault: Fault) {
    let Ok(asked) = BlocksByRangeRequest::decode_request(&request.body) else { return };
    let read = move || chain.read(asked.start, 1, usize::MAX);
    let blocks = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(blocks)) => blocks,
        Ok(Err(error)) => return tracing::error!(%error, "a block cannot be read"),
        Err(error) => return tracing::error!(%error, "a block cannot be read"),
    };
    // Above the head there is none.
    let Some(chunk) = blocks.first().and_then(|block| encode_block_chunk(block).ok()) else {
        return;
    };
    send(&request.reply, chunk, asked.count, fault).await;
}

async fn send(reply: &RawReply, mut chunk: Vec<u8>, asked: u64, fault: Fault) {
    let hangs = fault == Fault::Hangs && asked > 1;
    if hangs {
        chunk.truncate(SENT_BEFORE_HANGING);
    }
    // Who has gone needs no answer.
    let written = reply.write(chunk).await;
    if hangs && written.is_ok() {
        reply.gone().await;
    }
}
