//! A chain in memory whose next writes do what a test says.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, mpsc::Receiver},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::blocks;
use crate::{
    adapters::memory::MemoryChain,
    consensus::{LinkPoint, VerifiedBlock},
    ports::{BlockSource, Chain, ChainError},
    types::{BlockRef, BlockRoot, Height},
};

/// What a write does.
pub(crate) enum Write {
    /// Fails with nothing written.
    Fails(ChainError),
    /// Waits until told, or until nobody can tell any more, then writes.
    Waits(Receiver<()>),
    /// Panics with nothing written.
    Panics,
}

/// The double.
pub(crate) struct ChainDouble {
    inner: MemoryChain,
    script: Mutex<VecDeque<Write>>,
    /// Held while a write is under way, as the contract of [`Chain::tip`] asks.
    writing: Mutex<()>,
    written: Mutex<Vec<Vec<Height>>>,
    /// Notified when a write has begun.
    pub(crate) begun: Notify,
    /// How many reads have failed, once they do.
    pub(crate) failed_reads: Mutex<Option<u32>>,
    /// Where the disk has a bad sector: no read can begin there.
    pub(crate) bad_sector: Mutex<Option<Height>>,
}

impl ChainDouble {
    /// A chain of genesis; its first writes follow `script`, later ones succeed.
    pub(crate) fn new(script: impl IntoIterator<Item = Write>) -> Self {
        Self {
            inner: MemoryChain::new(&blocks().genesis),
            script: Mutex::new(script.into_iter().collect()),
            writing: Mutex::default(),
            written: Mutex::default(),
            begun: Notify::new(),
            failed_reads: Mutex::default(),
            bad_sector: Mutex::default(),
        }
    }

    /// What the next write does.
    pub(crate) fn then(&self, write: Write) {
        self.script.lock().unwrap().push_back(write);
    }

    /// Does what the script says of this write, up to where it changes anything.
    fn begin(&self) -> Result<MutexGuard<'_, ()>, ChainError> {
        let write = self.script.lock().unwrap().pop_front();
        // Before the lock: a panic must not poison it, as a store's panic would not.
        if matches!(write, Some(Write::Panics)) {
            panic!("the store panics");
        }
        let writing = self.writing.lock().unwrap();
        self.begun.notify_one();
        match write {
            Some(Write::Fails(error)) => return Err(error),
            // Either the test let it go on, or it has ended.
            Some(Write::Waits(go_on)) => {
                let _ = go_on.recv();
            }
            Some(Write::Panics) | None => {}
        }
        Ok(writing)
    }

    /// The heights of each write that succeeded.
    pub(crate) fn written(&self) -> Vec<Vec<Height>> {
        self.written.lock().unwrap().clone()
    }
}

impl BlockSource for ChainDouble {
    fn head(&self) -> BlockRef {
        self.inner.head()
    }

    fn oldest(&self) -> Height {
        self.inner.oldest()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        if let Some(failed) = &mut *self.failed_reads.lock().unwrap() {
            *failed += 1;
            let source = std::io::Error::other("the disk is gone");
            return Err(ChainError::Io { action: "reading".to_owned(), source });
        }
        if *self.bad_sector.lock().unwrap() == Some(start) {
            let source = std::io::Error::other("bad sector");
            return Err(ChainError::Io { action: "reading".to_owned(), source });
        }
        self.inner.read(start, blocks_max, bytes_max)
    }
}

impl Chain for ChainDouble {
    fn genesis(&self) -> BlockRoot {
        self.inner.genesis()
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        let _writing = self.writing.lock().unwrap();
        self.inner.tip()
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        self.inner.link_point(height)
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        let _writing = self.begin()?;
        let head = self.inner.append(blocks)?;
        self.written.lock().unwrap().push(blocks.iter().map(|block| block.height()).collect());
        Ok(head)
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        let _writing = self.begin()?;
        self.inner.truncate_to(height)
    }
}
