//! `chain generate`: a signed chain from a seed.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use alys_sync::{
    consensus::{
        Genesis,
        generate::{GenerateOptions, GeneratedChain, Transactions},
    },
    types::BlockRef,
    wire::chain_file::{ChainFileError, ChainFileWriter},
};
use clap::Args;
use serde_json::json;

use crate::cli::{
    Answer, Context, Ending, blocking,
    files::{Draft, WriteFileError, write_file},
    input::write_genesis,
    progress::Progress,
    stop::{Stop, Stopped},
};

const EXAMPLES: &str = "\
Examples:
  alys-sync chain generate --blocks 10000 --out chain.bin --spec-out chain.json \\
    --genesis-out genesis.bin
  alys-sync chain generate --blocks 500 --transactions 100 --tx-bytes 600 --out big.bin";

/// Make a chain of signed blocks, the same for the same options
///
/// The blocks are linked and signed by a majority of the authorities, with true execution block
/// hashes and transactions of realistic sizes, but no execution client would run them. The
/// authorities' secret keys follow from the seed: never use such a chain for a live network. Files
/// that exist are replaced, whole or not at all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// Where the chain goes, genesis first
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the chain specification goes, for --chain-spec
    #[arg(long, value_name = "FILE")]
    spec_out: Option<PathBuf>,
    /// Where the genesis block goes, for --genesis
    #[arg(long, value_name = "FILE")]
    genesis_out: Option<PathBuf>,
    /// How many blocks above genesis
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    blocks: u64,
    /// How many authorities sign, 1 to 15
    #[arg(long, value_name = "N", default_value_t = 5)]
    authorities: usize,
    /// Decides everything that the other options leave open
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Transactions in a block: on average, or exactly with --tx-bytes
    #[arg(long, value_name = "N", default_value_t = 9)]
    transactions: u32,
    /// Size of every transaction, instead of sizes as on a live chain
    #[arg(long, value_name = "BYTES")]
    tx_bytes: Option<u32>,
}

impl GenerateArgs {
    fn options(&self) -> GenerateOptions {
        let transactions = match self.tx_bytes {
            Some(bytes) => Transactions::Fixed { per_block: self.transactions, bytes },
            None => Transactions::Realistic { mean_per_block: self.transactions },
        };
        GenerateOptions {
            blocks: self.blocks,
            authorities: self.authorities,
            seed: self.seed,
            transactions,
            ..GenerateOptions::default()
        }
    }
}

/// Why a chain was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteChainError {
    #[error("cannot write the chain file {}", path.display())]
    Chain {
        path: PathBuf,
        #[source]
        source: ChainFileError,
    },
    #[error("cannot write the chain file")]
    File(#[from] WriteFileError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<WriteChainError> for Ending {
    fn from(error: WriteChainError) -> Self {
        match error {
            WriteChainError::Stopped(stopped) => stopped.into(),
            WriteChainError::Chain { .. } | WriteChainError::File(_) => Self::failed(error),
        }
    }
}

/// A chain that was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Its last block.
    pub(crate) head: BlockRef,
    /// Its blocks without their lengths in front. Unit: bytes.
    pub(crate) bytes: u64,
}

/// Writes `chain` to `path`, whole or not at all. Signs on all cores.
pub(crate) fn write_chain(
    chain: &GeneratedChain,
    path: &Path,
    stop: &Stop,
    shown: &mut Progress,
) -> Result<Written, WriteChainError> {
    let genesis = chain.genesis();
    let mut written = Written { head: genesis.block_ref(), bytes: 0 };
    let mut writer = ChainFileWriter::new(Draft::of(path)?);
    for block in std::iter::once(genesis.clone()).chain(chain.blocks()) {
        stop.check()?;
        writer
            .write(block.raw())
            .map_err(|source| WriteChainError::Chain { path: path.to_owned(), source })?;
        written.head = block.block_ref();
        written.bytes += block.raw().len() as u64;
        shown.work("generating", written.head.height.get(), chain.options().blocks);
    }
    writer.into_inner().commit()?;
    Ok(written)
}

pub(super) async fn generate(args: GenerateArgs, context: Context) -> Result<Answer, Ending> {
    blocking(move || {
        let began = Instant::now();
        let chain =
            alys_sync::consensus::generate::generate(args.options()).map_err(Ending::bad_input)?;
        let genesis = Genesis::from_block(chain.genesis().clone()).map_err(Ending::failed)?;
        let mut shown = Progress::bar_or_lines(&context.bars);
        let written = write_chain(&chain, &args.out, &context.stop, &mut shown)?;
        drop(shown);
        if let Some(path) = &args.spec_out {
            write_file(path, chain.spec().to_json().as_bytes()).map_err(Ending::failed)?;
        }
        if let Some(path) = &args.genesis_out {
            write_genesis(path, &genesis).map_err(Ending::failed)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let Written { head, bytes } = written;
        let text = format!(
            "generated {} blocks, {bytes} bytes, in {seconds:.1} s: {}\nhead     {}\ngenesis  {}",
            args.blocks,
            args.out.display(),
            head.root,
            genesis.root(),
        );
        let json = json!({
            "blocks": args.blocks,
            "height": head.height,
            "head": head.root,
            "genesis": genesis.root(),
            "bytes": bytes,
            "seconds": seconds,
        });
        Ok(Answer::new(text, json))
    })
    .await
}
