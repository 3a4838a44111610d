//! Which block is at which height, where its body lies, and what the head is.
//!
//! Owns the trees of the chain. Does not read bodies. The head and the entries of its blocks change
//! in one transaction; entries above the head mean nothing and are removed when they are found.
//! Every value carries a checksum of its own, and one that fails it is an error, never a guess.

mod marks;

use std::sync::Arc;

use ::sled::{
    Batch, Transactional, Tree,
    transaction::{ConflictableTransactionError, TransactionError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    database::{Database, IndexError},
    record,
    segments::{FIRST_SEGMENT, HEADER_BYTES, Location},
};
use crate::{
    consensus::LinkPoint,
    types::{BlockRef, BlockRoot, ExecutionHash, Height},
};

/// Version of the records in the state tree.
const STATE_VERSION: u8 = 1;

/// The longest body of a record in the state tree. Unit: bytes. The longest has about 90. Too low:
/// it cannot be written. Too high: memory for a record that is not ours.
const STATE_BYTES_MAX: u32 = 1024;

const IDENTITY: &str = "identity";
const HEAD: &str = "head";
const OLDEST: &str = "oldest";

/// Bytes of an entry: file number, offset, length, root, execution hash, checksum.
const ENTRY_BYTES: usize = 4 + 8 + 4 + 32 + 32 + 4;

/// Entries removed at once. Unit: entries. Too low: more writes when much is removed. Too high:
/// memory, since a batch is held until it is written.
const REMOVE_BATCH: usize = 4096;

/// What the index knows of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) location: Location,
    pub(super) root: BlockRoot,
    pub(super) execution_hash: ExecutionHash,
}

impl Entry {
    pub(super) fn of(location: Location, link: &LinkPoint) -> Self {
        Self { location, root: link.root, execution_hash: link.execution_hash }
    }

    pub(super) fn link_point(&self, height: Height) -> LinkPoint {
        LinkPoint { height, root: self.root, execution_hash: self.execution_hash }
    }
}

/// Which chain the index is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) format: u32,
    pub(super) genesis: BlockRoot,
}

/// The trees of the chain. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Index {
    heights: Tree,
    roots: Tree,
    state: Tree,
    /// Last, because trees must go before the database does.
    database: Arc<Database>,
}

impl Index {
    /// Opens the trees, or makes them.
    ///
    /// # Errors
    /// [`IndexError::Io`] and [`IndexError::Damaged`].
    pub(super) fn open(database: Arc<Database>) -> Result<Self, IndexError> {
        Ok(Self {
            heights: database.tree("heights")?,
            roots: database.tree("roots")?,
            state: database.tree("state")?,
            database,
        })
    }

    /// The database the trees are in.
    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The chain the index is of, or `None` if it is new.
    ///
    /// # Errors
    /// [`IndexError::BadRecord`], [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn identity(&self) -> Result<Option<Identity>, IndexError> {
        self.find(IDENTITY)
    }

    /// The head as last committed.
    ///
    /// # Errors
    /// [`IndexError::Missing`], [`IndexError::BadRecord`], [`IndexError::Io`],
    /// [`IndexError::Damaged`].
    pub(super) fn head(&self) -> Result<BlockRef, IndexError> {
        self.find(HEAD)?.ok_or(IndexError::Missing { name: HEAD })
    }

    /// The lowest height whose body is held.
    ///
    /// # Errors
    /// As for [`Index::head`].
    pub(super) fn oldest(&self) -> Result<Height, IndexError> {
        self.find(OLDEST)?.ok_or(IndexError::Missing { name: OLDEST })
    }

    /// The entry of a height that is not above the head.
    ///
    /// # Errors
    /// [`IndexError::BadEntry`], [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn entry(&self, height: Height) -> Result<Entry, IndexError> {
        let value = self.heights.get(key(height)).map_err(IndexError::from_sled("reading"))?;
        value.and_then(|value| decode(height, &value)).ok_or(IndexError::BadEntry { height })
    }

    /// The entries of the consecutive heights from `start` to `last`, none of which is above the
    /// head. Ends after the first error.
    pub(super) fn entries(
        &self,
        start: Height,
        last: Height,
    ) -> impl Iterator<Item = Result<Entry, IndexError>> {
        let mut stored = self.heights.range(key(start)..=key(last));
        let mut next = (start <= last).then_some(start);
        std::iter::from_fn(move || {
            let height = next.take()?;
            let entry = match stored.next() {
                Some(Ok((found, value))) if *found == key(height) => decode(height, &value),
                Some(Err(error)) => return Some(Err(IndexError::from_sled("reading")(error))),
                Some(Ok(_)) | None => None,
            };
            if entry.is_some() {
                next = height.next().filter(|next| *next <= last);
            }
            Some(entry.ok_or(IndexError::BadEntry { height }))
        })
    }

    /// The height of the block with this root, if it is known; possibly above the head.
    ///
    /// # Errors
    /// [`IndexError::BadRoot`], [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn height_of(&self, root: BlockRoot) -> Result<Option<Height>, IndexError> {
        let value = self.roots.get(root.as_bytes()).map_err(IndexError::from_sled("reading"))?;
        let Some(value) = value else { return Ok(None) };
        let bytes: [u8; 8] = value.as_ref().try_into().map_err(|_| IndexError::BadRoot)?;
        Ok(Some(Height::new(u64::from_be_bytes(bytes))))
    }

    /// Starts the index of a chain with its genesis block, durably.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn create(&self, identity: Identity, genesis: Entry) -> Result<(), IndexError> {
        let mut state = Batch::default();
        put(&mut state, IDENTITY, &identity)?;
        put(&mut state, OLDEST, &Height::GENESIS)?;
        self.commit(state, Height::GENESIS, &[genesis])
    }

    /// Adds the entries of consecutive blocks from `first` on and makes the last one the head:
    /// all of it or nothing, durably.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn append(&self, first: Height, entries: &[Entry]) -> Result<(), IndexError> {
        self.commit(Batch::default(), first, entries)
    }

    /// The highest height that has an entry, whatever is in it.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn highest(&self) -> Result<Option<Height>, IndexError> {
        let last = self.heights.last().map_err(IndexError::from_sled("reading"))?;
        let height = |key: ::sled::IVec| key.as_ref().try_into().map(u64::from_be_bytes).ok();
        Ok(last.and_then(|(key, _)| height(key)).map(Height::new))
    }

    /// Removes what an earlier, higher head left behind, durably. Cheap when that is nothing.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(super) fn forget_above(&self, head: Height) -> Result<(), IndexError> {
        let Some(first) = head.next() else { return Ok(()) };
        let mut any = false;
        loop {
            let (mut heights, mut roots) = (Batch::default(), Batch::default());
            let mut count = 0;
            // From the top down, so that what a crash leaves is again one stretch above the head.
            for found in self.heights.range(key(first)..).rev().take(REMOVE_BATCH) {
                let (key, value) = found.map_err(IndexError::from_sled("reading"))?;
                let height = key.as_ref().try_into().map(u64::from_be_bytes).map(Height::new);
                if let Some(entry) = height.ok().and_then(|height| decode(height, &value)) {
                    roots.remove(entry.root.as_bytes());
                }
                heights.remove(key);
                count += 1;
            }
            if count == 0 {
                break;
            }
            any = true;
            self.database
                .write(|| transact(&[(&self.heights, &heights), (&self.roots, &roots)]))?;
        }
        if any { self.database.make_durable() } else { Ok(()) }
    }

    fn commit(&self, mut state: Batch, first: Height, entries: &[Entry]) -> Result<(), IndexError> {
        let (mut heights, mut roots) = (Batch::default(), Batch::default());
        let (mut next, mut head) = (Some(first), None);
        for entry in entries {
            // No chain gets there: a height costs at least a slot.
            let height = next.ok_or(IndexError::BadEntry { height: first })?;
            heights.insert(&key(height), encode(height, entry));
            roots.insert(entry.root.as_bytes(), &key(height));
            head = Some(BlockRef { height, root: entry.root });
            next = height.next();
        }
        if let Some(head) = head {
            put(&mut state, HEAD, &head)?;
        }
        let batches = [(&self.heights, &heights), (&self.roots, &roots), (&self.state, &state)];
        self.database.write(|| transact(&batches))?;
        self.database.make_durable()
    }

    fn find<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, IndexError> {
        self.state
            .get(name)
            .map_err(IndexError::from_sled("reading"))?
            .map(|value| record::decode(STATE_VERSION, STATE_BYTES_MAX, &value))
            .transpose()
            .map_err(|source| IndexError::BadRecord { name, source })
    }
}

fn transact(batches: &[(&Tree, &Batch)]) -> Result<(), IndexError> {
    let trees: Vec<&Tree> = batches.iter().map(|(tree, _)| *tree).collect();
    let written = trees.as_slice().transaction(|trees| {
        for (tree, (_, batch)) in trees.iter().zip(batches) {
            tree.apply_batch(batch)?;
        }
        Ok::<(), ConflictableTransactionError<std::convert::Infallible>>(())
    });
    written.map_err(|error| match error {
        TransactionError::Storage(error) => IndexError::from_sled("writing")(error),
        TransactionError::Abort(never) => match never {},
    })
}

fn put<T: Serialize>(batch: &mut Batch, name: &'static str, body: &T) -> Result<(), IndexError> {
    let record = record::encode(STATE_VERSION, STATE_BYTES_MAX, body)
        .map_err(|source| IndexError::BadRecord { name, source })?;
    batch.insert(name, record);
    Ok(())
}

/// Big-endian, so that the order of keys is the order of heights.
fn key(height: Height) -> [u8; 8] {
    height.get().to_be_bytes()
}

fn encode(height: Height, entry: &Entry) -> Vec<u8> {
    let mut value = Vec::with_capacity(ENTRY_BYTES);
    value.extend_from_slice(&entry.location.segment.to_le_bytes());
    value.extend_from_slice(&entry.location.offset.to_le_bytes());
    value.extend_from_slice(&entry.location.length.to_le_bytes());
    value.extend_from_slice(entry.root.as_bytes());
    value.extend_from_slice(entry.execution_hash.as_bytes());
    value.extend_from_slice(&entry_checksum(height, &value).to_le_bytes());
    value
}

fn decode(height: Height, value: &[u8]) -> Option<Entry> {
    let (body, checksum) = value.split_last_chunk::<4>()?;
    if value.len() != ENTRY_BYTES || entry_checksum(height, body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (segment, rest) = body.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (root, rest) = rest.split_first_chunk::<32>()?;
    let location = Location {
        segment: u32::from_le_bytes(*segment),
        offset: u64::from_le_bytes(*offset),
        length: u32::from_le_bytes(*length),
    };
    let possible = location.segment >= FIRST_SEGMENT && location.offset >= HEADER_BYTES;
    possible.then_some(Entry {
        location,
        root: BlockRoot::new(*root),
        execution_hash: ExecutionHash::new(rest.try_into().ok()?),
    })
}

/// Over the height as well, so that an entry under another's key is noticed.
fn entry_checksum(height: Height, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&key(height));
    hasher.update(body);
    hasher.finalize()
}
