//! The store of the node that is measured: tells when it imported, and is as slow as it is told to
//! be.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use alys_sync::{
    consensus::{LinkPoint, VerifiedBlock},
    ports::{BlockSource, Chain, ChainError},
    types::{BlockRef, BlockRoot, Height},
};
use bytes::Bytes;

/// When imports had ended, since the meter was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ImportTimes {
    /// The first transaction.
    pub(super) first: Option<Duration>,
    /// The last one so far.
    pub(super) last: Option<Duration>,
}

/// Shared between the chain and who asks.
#[derive(Debug, Clone)]
pub(super) struct ImportMeter {
    began: Instant,
    times: Arc<Mutex<ImportTimes>>,
}

impl ImportMeter {
    /// A meter that begins now.
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), times: Arc::default() }
    }

    /// What it has seen so far.
    pub(super) fn times(&self) -> ImportTimes {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn imported(&self) {
        let now = self.began.elapsed();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.first.get_or_insert(now);
        times.last = Some(now);
    }
}

/// A chain over another one.
pub(super) struct MeteredChain<C> {
    chain: C,
    meter: ImportMeter,
    /// What it takes at most. Unit: bytes a second. `None`: whatever the chain below does.
    bytes_per_second: Option<NonZeroU64>,
}

impl<C> MeteredChain<C> {
    /// `chain`, watched by `meter`, taking no more than `bytes_per_second`.
    pub(super) const fn new(
        chain: C,
        meter: ImportMeter,
        bytes_per_second: Option<NonZeroU64>,
    ) -> Self {
        Self { chain, meter, bytes_per_second }
    }
}

/// How long a store that takes `rate` bytes a second takes for `bytes`.
fn takes(bytes: usize, rate: NonZeroU64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.get() as f64)
}

impl<C: Chain> BlockSource for MeteredChain<C> {
    fn head(&self) -> BlockRef {
        self.chain.head()
    }

    fn oldest(&self) -> Height {
        self.chain.oldest()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        self.chain.read(start, blocks_max, bytes_max)
    }
}

impl<C: Chain> Chain for MeteredChain<C> {
    fn genesis(&self) -> BlockRoot {
        self.chain.genesis()
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        self.chain.tip()
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        self.chain.link_point(height)
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        let began = Instant::now();
        let head = self.chain.append(blocks)?;
        if let Some(rate) = self.bytes_per_second {
            let bytes: usize = blocks.iter().map(|block| block.raw().len()).sum();
            // On the importer's blocking thread, as a slow disk would.
            sleep(takes(bytes, rate).saturating_sub(began.elapsed()));
        }
        if !blocks.is_empty() {
            self.meter.imported();
        }
        Ok(head)
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        self.chain.truncate_to(height)
    }
}

#[cfg(test)]
mod tests {
    use alys_sync::{
        adapters::memory::MemoryChain,
        consensus::{
            Genesis, Verifier,
            generate::{GenerateOptions, generate},
        },
    };

    use super::*;

    #[test]
    fn tells_the_first_and_the_last_import() {
        let chain = generate(GenerateOptions { blocks: 2, ..GenerateOptions::default() }).unwrap();
        let verifier = Verifier::new(Arc::clone(chain.spec()));
        let blocks: Vec<_> = chain.blocks().map(|block| verifier.verify(block).unwrap()).collect();
        let genesis = Genesis::from_block(chain.genesis().clone()).unwrap();
        let meter = ImportMeter::start();
        let metered = MeteredChain::new(MemoryChain::new(&genesis), meter.clone(), None);
        metered.append(&[]).unwrap();
        assert_eq!(meter.times(), ImportTimes::default(), "nothing was imported");
        let head = metered.append(&blocks[..1]).unwrap();
        let first = meter.times().first.unwrap();
        assert_eq!((head.height, meter.times().last), (Height::new(1), Some(first)));
        metered.append(&blocks[1..]).unwrap();
        let times = meter.times();
        assert!(times.first == Some(first) && times.last > Some(first), "{times:?}");
        assert_eq!(metered.head().height, Height::new(2));
    }

    #[test]
    fn slow_store_takes_as_long_as_its_rate_says() {
        let rate = NonZeroU64::new(2_000).unwrap();
        assert_eq!(takes(500, rate), Duration::from_millis(250));
    }
}
