//! The chain as it is served to peers, with a breaker around its reads.
//!
//! A disk that fails is not asked again by every request of every peer: while the breaker is open
//! they are refused at once, and one read finds out whether it works again. What the node itself
//! reads and writes is not kept from it: a failed write ends the tree anyway.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    breaker::{BreakerState, CallEnd},
    guard::Guard,
};
use crate::{
    ports::{BlockSource, ChainError, Clock},
    types::{BlockRef, Height},
};

/// A source of blocks behind a breaker.
pub struct GuardedSource {
    guard: Guard<Arc<dyn BlockSource>>,
}

impl GuardedSource {
    /// Guards `source`. `seed` decides what is left to chance.
    pub fn new(source: Arc<dyn BlockSource>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { guard: Guard::new(source, "the chain store, as it is served", clock, seed) }
    }

    /// Where its breaker is.
    pub fn breaker(&self) -> BreakerState {
        self.guard.state()
    }
}

impl BlockSource for GuardedSource {
    fn head(&self) -> BlockRef {
        self.guard.unguarded().head()
    }

    fn oldest(&self) -> Height {
        self.guard.unguarded().oldest()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let call = self.guard.enter().map_err(|alone| ChainError::Io {
            action: "reading blocks for a peer".to_owned(),
            source: io::Error::other(alone),
        })?;
        let blocks = call.read(start, blocks_max, bytes_max);
        call.ended(match &blocks {
            Ok(_) => CallEnd::Succeeded,
            Err(ChainError::Io { .. }) => CallEnd::Failed,
            // One damaged block says nothing about the others: peers that ask for it again and
            // again must not keep them from everybody.
            Err(
                ChainError::Corrupt(_)
                | ChainError::NotNext { .. }
                | ChainError::OutOfRange { .. }
                | ChainError::Poisoned,
            ) => CallEnd::NoNews,
        });
        blocks
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{ports::SystemClock, types::BlockRoot};

    type Answer = fn() -> Result<Vec<Bytes>, ChainError>;

    /// A disk that answers as told, and counts how often it is asked.
    struct Disk {
        answer: Mutex<Answer>,
        reads: AtomicUsize,
    }

    impl BlockSource for Disk {
        fn head(&self) -> BlockRef {
            BlockRef { height: Height::new(7), root: BlockRoot::ZERO }
        }

        fn oldest(&self) -> Height {
            Height::new(2)
        }

        fn read(&self, _: Height, _: usize, _: usize) -> Result<Vec<Bytes>, ChainError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.answer.lock().unwrap()()
        }
    }

    fn broken() -> Result<Vec<Bytes>, ChainError> {
        let source = io::ErrorKind::TimedOut.into();
        Err(ChainError::Io { action: "reading".to_owned(), source })
    }

    fn damaged() -> Result<Vec<Bytes>, ChainError> {
        Err(ChainError::Corrupt("block 3".to_owned()))
    }

    fn with(answer: Answer) -> (Arc<Disk>, impl Fn() -> Result<Vec<Bytes>, ChainError>) {
        let disk = Arc::new(Disk { answer: Mutex::new(answer), reads: AtomicUsize::new(0) });
        let clock = Arc::new(SystemClock::start());
        let source = GuardedSource::new(Arc::clone(&disk) as _, clock, 1);
        assert_eq!((source.head(), source.oldest()), (disk.head(), disk.oldest()));
        (disk, move || source.read(Height::new(2), 1, 1))
    }

    #[tokio::test(start_paused = true)]
    async fn disk_that_fails_is_not_hammered_and_found_again_when_it_works() {
        let (disk, read) = with(broken);
        for _ in 0..1_000 {
            assert!(matches!(read(), Err(ChainError::Io { .. })));
        }
        assert_eq!(disk.reads.load(Ordering::Relaxed), 5);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        (0..1_000).for_each(|_| assert!(read().is_err()));
        assert_eq!(disk.reads.load(Ordering::Relaxed), 6, "one to see");
        *disk.answer.lock().unwrap() = || Ok(Vec::new());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        (0..1_000).for_each(|_| assert!(read().is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn damaged_block_keeps_no_other_from_anybody() {
        let (disk, read) = with(damaged);
        (0..100).for_each(|_| assert!(matches!(read(), Err(ChainError::Corrupt(_)))));
        assert_eq!(disk.reads.load(Ordering::Relaxed), 100);
    }
}
