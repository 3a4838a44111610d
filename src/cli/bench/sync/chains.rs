//! The chains that are synced: made once, signed on all cores, kept in files as long as they are
//! needed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use alys_sync::{
    adapters::chain_file::PlacedBlocks,
    consensus::{
        Genesis,
        generate::{GenerateOptions, Transactions, generate},
    },
    wire::response::encode_block_chunk,
};

use crate::cli::{
    Context, Ending, blocking,
    chain::write_chain,
    demo::{Prepared, Servers},
    files::write_file,
    input::write_genesis,
    progress::Progress,
    stop::Stopped,
};

/// A generated chain in files.
pub(super) struct BenchChain {
    pub(super) prepared: Prepared,
    pub(super) genesis_file: PathBuf,
    /// The blocks above genesis. Unit: bytes.
    pub(super) bytes: u64,
    /// The same as they travel: compressed, in the frames of a reply. Unit: bytes.
    pub(super) travelling_bytes: u64,
}

impl BenchChain {
    /// Makes a chain of `blocks` blocks with these transactions, in files of `dir` that begin with
    /// `name`.
    pub(super) async fn generate(
        dir: &Path,
        name: &'static str,
        blocks: u64,
        transactions: Transactions,
        context: &Context,
    ) -> Result<Self, Ending> {
        let file = |kind: &str| dir.join(format!("{name}.{kind}"));
        let (chain, spec_file, genesis_file) = (file("bin"), file("json"), file("genesis"));
        let context = context.clone();
        blocking(move || {
            let options = GenerateOptions { blocks, transactions, ..GenerateOptions::default() };
            let generated = generate(options).map_err(Ending::bad_input)?;
            let genesis =
                Genesis::from_block(generated.genesis().clone()).map_err(Ending::failed)?;
            let mut shown = Progress::bar_or_lines(&context.bars);
            let written = write_chain(&generated, &chain, &context.stop, &mut shown)?;
            write_file(&spec_file, generated.spec().to_json().as_bytes())
                .map_err(Ending::failed)?;
            write_genesis(&genesis_file, &genesis).map_err(Ending::failed)?;
            let bytes = written.bytes - genesis.raw().len() as u64;
            let travelling_bytes = travelling_bytes(&chain)?;
            let (spec, head) = (Arc::clone(generated.spec()), written.head);
            let prepared = Prepared { chain, spec_file, spec, genesis, head };
            Ok(Self { prepared, genesis_file, bytes, travelling_bytes })
        })
        .await
    }

    /// How many blocks above genesis.
    pub(super) const fn blocks(&self) -> u64 {
        self.prepared.head.height.get()
    }

    /// `count` processes that serve it.
    pub(super) async fn served(&self, count: u8, context: &Context) -> Result<Servers, Ending> {
        unless_stopped(context, Servers::start(&self.prepared, count)).await
    }
}

/// What `work` comes to, unless the command is asked to end before.
pub(super) async fn unless_stopped<T>(
    context: &Context,
    work: impl Future<Output = Result<T, Ending>>,
) -> Result<T, Ending> {
    tokio::select! {
        outcome = work => outcome,
        () = context.stop.asked() => Err(Stopped.into()),
    }
}

/// What the blocks above genesis take in replies.
fn travelling_bytes(chain: &Path) -> Result<u64, Ending> {
    let mut bytes = 0;
    for placed in PlacedBlocks::open(chain).map_err(Ending::failed)?.skip(1) {
        let (_, raw) = placed.map_err(Ending::failed)?;
        bytes += encode_block_chunk(&raw).map_err(Ending::failed)?.len() as u64;
    }
    Ok(bytes)
}
