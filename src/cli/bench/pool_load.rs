//! The shipped pool of workers under a supervisor, and a chain for it to verify. Knows nothing of
//! the command line: `benches/verification.rs` uses this file too.

use std::{sync::Arc, time::Duration};

use alys_sync::{
    consensus::{
        Verifier,
        generate::{GenerateError, GenerateOptions, generate},
    },
    flow::{ByteBudget, Origin, RawSegment, RequestId},
    ports::{OsEntropy, RayonCompute, WorkersError},
    types::{Height, HeightRange, PeerId},
    validation::{Meter, Urgency, ValidatorArgs, ValidatorHandle, ValidatorPool},
};
use bytes::Bytes;
use futures::future::try_join_all;
use supervisors::{
    CallError, ChildHandle, ChildSpec, Intensity, StartError, Strategy, Supervisor,
    SupervisorHandle, SupervisorSpec,
};

/// Blocks of a segment. Unit: blocks. Source: the most that a sync asks of a peer at once. Batches
/// are full all the same, as segments share them. Lower or higher: verdicts are put together more
/// often or more rarely than in a sync.
const SEGMENT_BLOCKS: usize = 128;

/// How long a pool may take to stop. It is idle by then. Too low: its thread is left behind. Too
/// high: one that hangs is waited for.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Blocks of a generated chain in segments, all there at once.
pub(crate) struct ChainLoad {
    verifier: Arc<Verifier>,
    segments: Vec<(HeightRange, Vec<Bytes>)>,
    blocks: u64,
    peer: PeerId,
}

/// Why a pool did not verify what it was given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolLoadError {
    #[error("the workers cannot be started")]
    Workers(#[from] WorkersError),
    #[error("the pool cannot be started")]
    Start(#[from] StartError),
    #[error("the pool gave no verdict")]
    Lost(#[from] CallError),
    #[error("the pool refused valid blocks")]
    Refused,
}

impl ChainLoad {
    /// `blocks` blocks of a chain with the default options. Signs on all cores.
    pub(crate) fn generate(blocks: u64) -> Result<Self, GenerateError> {
        let chain = generate(GenerateOptions { blocks, ..GenerateOptions::default() })?;
        let raw: Vec<_> = chain.blocks().map(|block| block.raw().clone()).collect();
        let mut start = Height::new(1);
        let segment = |blocks: &[Bytes]| {
            let range = HeightRange::new(start, blocks.len() as u64)?;
            start = range.last().next()?;
            Some((range, blocks.to_vec()))
        };
        let segments = raw.chunks(SEGMENT_BLOCKS).filter_map(segment).collect();
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let verifier = Arc::new(Verifier::new(Arc::clone(chain.spec())));
        Ok(Self { verifier, segments, blocks, peer })
    }

    /// How many blocks.
    pub(crate) const fn blocks(&self) -> u64 {
        self.blocks
    }

    fn segments(&self) -> impl Iterator<Item = RawSegment> {
        let budget = ByteBudget::new(u64::MAX);
        let origin = Origin { peer: self.peer, request: RequestId(1) };
        self.segments.iter().filter_map(move |(range, blocks)| {
            let bytes = blocks.iter().map(|block| block.len() as u64).sum();
            let permit = budget.try_reserve(range.start(), bytes)?;
            let (range, blocks) = (*range, blocks.clone());
            Some(RawSegment { range, blocks, origin, permit, span: tracing::Span::none() })
        })
    }
}

/// A pool with workers of its own.
pub(crate) struct LoadedPool {
    tree: SupervisorHandle,
    handle: ValidatorHandle,
}

impl LoadedPool {
    /// A pool of `workers` threads for the chain of `load`.
    pub(crate) async fn start(load: &ChainLoad, workers: usize) -> Result<Self, PoolLoadError> {
        let args = ValidatorArgs {
            verifier: Arc::clone(&load.verifier),
            compute: Arc::new(RayonCompute::new(workers)?),
            entropy: Arc::new(OsEntropy),
            meter: Arc::<Meter>::default(),
        };
        let child = ChildHandle::new("ValidatorPool");
        let spec = ChildSpec::new(&child, move || (ValidatorPool, args.clone()));
        // A pool that fails is of no use here: none is started again.
        let never = Intensity { max_restarts: 0, within: Duration::from_secs(60) };
        let spec = SupervisorSpec::new("bench", Strategy::OneForOne, never).child(spec);
        let tree = Supervisor::start(spec).await?;
        Ok(Self { tree, handle: ValidatorHandle::new(child) })
    }

    /// Verifies all of `load`, whose segments are handed over at once, so that no worker waits for
    /// blocks.
    pub(crate) async fn verify(&self, load: &ChainLoad) -> Result<(), PoolLoadError> {
        let verdicts = load.segments().map(|one| self.handle.verify(one, Urgency::InTurn));
        let verdicts = try_join_all(verdicts).await?;
        let good = verdicts.iter().flat_map(|verdict| &verdict.good);
        let verified: u64 = good.map(|segment| segment.range.count()).sum();
        if verified == load.blocks { Ok(()) } else { Err(PoolLoadError::Refused) }
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        if let Err(error) = self.tree.shutdown(STOP_WITHIN).await {
            tracing::warn!(%error, "a pool did not stop in order");
        }
    }
}
