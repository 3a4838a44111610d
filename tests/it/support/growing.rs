//! A chain that grows.

use std::sync::{Arc, Mutex};

use alys_sync::{
    ports::{BlockSource, ChainError},
    types::{BlockRef, Height},
};
use bytes::Bytes;

use super::TestChain;

/// The chain of a peer that follows its network.
pub struct Growing(Mutex<Arc<TestChain>>);

impl Growing {
    pub fn new(chain: TestChain) -> Self {
        Self(Mutex::new(Arc::new(chain)))
    }

    /// From now on it has this chain.
    pub fn grow(&self, chain: TestChain) {
        *self.0.lock().unwrap() = Arc::new(chain);
    }

    fn now(&self) -> Arc<TestChain> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

impl BlockSource for Growing {
    fn head(&self) -> BlockRef {
        self.now().head()
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        self.now().read(start, blocks_max, bytes_max)
    }
}
