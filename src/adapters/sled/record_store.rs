//! Small durable records beside the chain, by kind and key.
//!
//! Owns their place in the database and their envelopes. Does not know what they mean: see
//! [`super::journal`]. A record that fails its checks is reported under its kind and key, so that
//! its owner can skip it; the others stay readable. All calls block on the disk: never call one on
//! an async worker.

use std::{fmt, sync::Arc};

use ::sled::{Batch, Tree};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    database::{Database, IndexError},
    record::{self, RecordError},
};

/// The longest body of a record. Unit: bytes. Source: the database keeps values of this length in
/// the one file that is synced. Too low: a checkpoint with its counters does not fit. Too high:
/// memory for records that are damaged, and files that the database never syncs.
const BODY_BYTES_MAX: u32 = 64 << 10;

/// The longest key. Unit: bytes. Source: a peer id has up to 52 as text. Too low: keys do not fit.
/// Too high: the pages of the database hold few entries.
const KEY_BYTES_MAX: usize = 128;

/// A family of records of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKind {
    name: &'static str,
    version: u8,
}

impl RecordKind {
    /// The family with this name, on disk and in messages, and this version of its type. A type
    /// that encodes differently needs the next version.
    ///
    /// # Panics
    /// At compile time in a constant: when the name is empty or has a zero byte.
    pub const fn new(name: &'static str, version: u8) -> Self {
        assert!(!name.is_empty(), "a kind needs a name");
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != 0, "a zero byte ends the name on disk");
            at += 1;
        }
        Self { name, version }
    }

    fn prefix(self) -> Vec<u8> {
        let mut prefix = self.name.as_bytes().to_vec();
        prefix.push(0);
        prefix
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The key of a record within its kind: any bytes, ordered as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey(Vec<u8>);

impl RecordKey {
    /// The key with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordStoreError {
    /// The record fails its checks, or is too long to be written.
    #[error("the {kind} record {key} fails its checks")]
    BadRecord {
        /// Of which kind.
        kind: RecordKind,
        /// Under which key.
        key: RecordKey,
        /// How it fails.
        #[source]
        source: RecordError,
    },
    /// The key is longer than keys may be.
    #[error("a key of {length} bytes is over the limit of {max}")]
    LongKey {
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The database failed.
    #[error("the records cannot be reached")]
    Index(#[from] IndexError),
}

/// What a listing found under one key.
pub type Listed<T> = (RecordKey, Result<T, RecordStoreError>);

/// The records of a data directory. Cheap to clone, and keeps the directory in use.
#[derive(Debug, Clone)]
pub struct RecordStore {
    records: Tree,
    /// Last, because trees must go before the database does.
    database: Arc<Database>,
}

impl RecordStore {
    pub(super) fn open(database: &Arc<Database>) -> Result<Self, IndexError> {
        Ok(Self { records: database.tree("records")?, database: Arc::clone(database) })
    }

    /// Writes a record over the one that is there, if any. Durable after [`RecordStore::flush`].
    ///
    /// # Errors
    /// [`RecordStoreError::LongKey`] and [`RecordStoreError::BadRecord`] with nothing written;
    /// [`RecordStoreError::Index`].
    pub fn put<T: Serialize>(
        &self,
        kind: RecordKind,
        key: &RecordKey,
        body: &T,
    ) -> Result<(), RecordStoreError> {
        let record = record::encode(kind.version, BODY_BYTES_MAX, body)
            .map_err(|source| RecordStoreError::BadRecord { kind, key: key.clone(), source })?;
        let path = path(kind, key)?;
        self.database.write(|| {
            self.records.insert(path, record).map_err(IndexError::from_sled("writing"))
        })?;
        Ok(())
    }

    /// The record under `key`, or `None` if there is none.
    ///
    /// # Errors
    /// Each [`RecordStoreError`].
    pub fn get<T: DeserializeOwned>(
        &self,
        kind: RecordKind,
        key: &RecordKey,
    ) -> Result<Option<T>, RecordStoreError> {
        let found = self.records.get(path(kind, key)?).map_err(IndexError::from_sled("reading"))?;
        found.map(|record| decode(kind, key, &record)).transpose()
    }

    /// The first `records_max` records of a kind in the order of their keys, each with its own
    /// error where it fails its checks.
    ///
    /// # Errors
    /// [`RecordStoreError::Index`].
    pub fn list<T: DeserializeOwned>(
        &self,
        kind: RecordKind,
        records_max: usize,
    ) -> Result<Vec<Listed<T>>, RecordStoreError> {
        let prefix = kind.prefix();
        let mut listed = Vec::new();
        for found in self.records.scan_prefix(&prefix).take(records_max) {
            let (path, record) = found.map_err(IndexError::from_sled("reading"))?;
            let key = RecordKey::new(path.strip_prefix(prefix.as_slice()).unwrap_or_default());
            let body = decode(kind, &key, &record);
            listed.push((key, body));
        }
        Ok(listed)
    }

    /// Removes a record and says whether there was one. Durable after [`RecordStore::flush`].
    ///
    /// # Errors
    /// [`RecordStoreError::LongKey`] and [`RecordStoreError::Index`].
    pub fn remove(&self, kind: RecordKind, key: &RecordKey) -> Result<bool, RecordStoreError> {
        let path = path(kind, key)?;
        let removed = self
            .database
            .write(|| self.records.remove(path).map_err(IndexError::from_sled("writing")))?;
        Ok(removed.is_some())
    }

    /// Moves a record to another kind as it is, whatever it holds, and says whether there was one:
    /// it is not read as one of its kind any more, and nothing of it is lost. Durable after
    /// [`RecordStore::flush`].
    ///
    /// # Errors
    /// [`RecordStoreError::Index`].
    pub fn set_aside(
        &self,
        kind: RecordKind,
        key: &RecordKey,
        to: RecordKind,
    ) -> Result<bool, RecordStoreError> {
        // Not ours to limit: a key that is too long is there all the same.
        let from = [&kind.prefix(), key.as_bytes()].concat();
        let found = self.records.get(&from).map_err(IndexError::from_sled("reading"))?;
        let Some(record) = found else { return Ok(false) };
        // Under its checksum as well, so that one that was there before stays.
        let checksum = crc32fast::hash(&record).to_be_bytes();
        let mut batch = Batch::default();
        batch.insert([&to.prefix(), key.as_bytes(), &checksum].concat(), record);
        batch.remove(from);
        self.database
            .write(|| self.records.apply_batch(batch).map_err(IndexError::from_sled("writing")))?;
        Ok(true)
    }

    /// Makes every write that returned before this call survive a power loss.
    ///
    /// # Errors
    /// [`RecordStoreError::Index`].
    pub fn flush(&self) -> Result<(), RecordStoreError> {
        Ok(self.database.make_durable()?)
    }
}

#[cfg(test)]
impl RecordStore {
    /// Writes bytes that need be no record.
    pub(super) fn put_raw(&self, kind: RecordKind, key: &RecordKey, bytes: &[u8]) {
        self.records.insert(path(kind, key).unwrap(), bytes).unwrap();
    }

    /// All values of a kind as they are.
    pub(super) fn raw(&self, kind: RecordKind) -> Vec<Vec<u8>> {
        let values = self.records.scan_prefix(kind.prefix()).values();
        values.map(|value| value.unwrap().to_vec()).collect()
    }
}

fn path(kind: RecordKind, key: &RecordKey) -> Result<Vec<u8>, RecordStoreError> {
    let length = key.as_bytes().len();
    if length > KEY_BYTES_MAX {
        return Err(RecordStoreError::LongKey { length, max: KEY_BYTES_MAX });
    }
    let mut path = kind.prefix();
    path.extend_from_slice(key.as_bytes());
    Ok(path)
}

fn decode<T: DeserializeOwned>(
    kind: RecordKind,
    key: &RecordKey,
    record: &[u8],
) -> Result<T, RecordStoreError> {
    record::decode(kind.version, BODY_BYTES_MAX, record)
        .map_err(|source| RecordStoreError::BadRecord { kind, key: key.clone(), source })
}

#[cfg(test)]
#[path = "record_store_tests.rs"]
mod tests;
