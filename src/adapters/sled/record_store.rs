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
        self.records.insert(path(kind, key)?, record).map_err(IndexError::from_sled("writing"))?;
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
        Ok(self.records.remove(path).map_err(IndexError::from_sled("writing"))?.is_some())
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
        self.records.apply_batch(batch).map_err(IndexError::from_sled("writing"))?;
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
mod tests {
    use tempfile::TempDir;

    use super::{super::data_dir, *};
    use crate::types::BlockRoot;

    const MARKS: RecordKind = RecordKind::new("mark", 1);
    const MARKS_LATER: RecordKind = RecordKind::new("mark", 2);
    const OTHERS: RecordKind = RecordKind::new("mar", 1);

    fn open(dir: &TempDir) -> RecordStore {
        let lock = data_dir::claim(dir.path(), BlockRoot::ZERO).unwrap();
        RecordStore::open(&Database::open(&dir.path().join("index"), lock).unwrap()).unwrap()
    }

    fn key(text: &str) -> RecordKey {
        RecordKey::new(text)
    }

    #[test]
    fn keeps_records_over_a_restart() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        state.put(MARKS, &key("b"), &2_u64).unwrap();
        state.put(MARKS, &key("a"), &1_u64).unwrap();
        state.put(MARKS, &key("b"), &3_u64).unwrap();
        state.put(MARKS, &key("c"), &4_u64).unwrap();
        state.put(OTHERS, &key("a"), &9_u64).unwrap();
        assert!(state.remove(MARKS, &key("c")).unwrap());
        assert!(!state.remove(MARKS, &key("c")).unwrap());
        state.flush().unwrap();
        drop(state);

        let state = open(&dir);
        assert_eq!(state.get::<u64>(MARKS, &key("b")).unwrap(), Some(3));
        assert_eq!(state.get::<u64>(MARKS, &key("c")).unwrap(), None);
        let listed: Vec<(RecordKey, u64)> = state
            .list(MARKS, 10)
            .unwrap()
            .into_iter()
            .map(|(key, body)| (key, body.unwrap()))
            .collect();
        assert_eq!(listed, [(key("a"), 1), (key("b"), 3)]);
        assert_eq!(state.list::<u64>(MARKS, 1).unwrap().len(), 1);
    }

    #[test]
    fn reports_a_damaged_record_by_its_key_and_still_lists_the_others() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        for name in ["a", "b", "c"] {
            state.put(MARKS, &key(name), &1_u64).unwrap();
        }
        let at = path(MARKS, &key("b")).unwrap();
        let mut record = state.records.get(&at).unwrap().unwrap().to_vec();
        *record.last_mut().unwrap() ^= 1;
        state.records.insert(at, record).unwrap();

        let refused = state.get::<u64>(MARKS, &key("b")).unwrap_err();
        assert!(matches!(
            &refused,
            RecordStoreError::BadRecord { source: RecordError::BadChecksum { .. }, key: named, .. }
                if *named == key("b")
        ));
        assert_eq!(refused.to_string(), "the mark record b fails its checks");
        let good = |listed: &Listed<u64>| listed.1.is_ok();
        let listed = state.list::<u64>(MARKS, 10).unwrap();
        assert_eq!(listed.iter().map(good).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn tells_the_records_of_a_later_release() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        state.put(MARKS_LATER, &key("a"), &1_u64).unwrap();
        assert!(matches!(
            state.get::<u64>(MARKS, &key("a")),
            Err(RecordStoreError::BadRecord {
                source: RecordError::FutureVersion { found: 2, known: 1 },
                ..
            })
        ));
    }

    #[test]
    fn record_set_aside_is_no_longer_of_its_kind_and_kept_as_it_was() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let aside = RecordKind::new("mark-aside", 1);
        let long = RecordKey::new(vec![b'k'; KEY_BYTES_MAX + 1]);
        let from = [&MARKS.prefix(), long.as_bytes()].concat();
        for bytes in [b"nonsense".to_vec(), vec![7; 1 << 17], b"nonsense".to_vec()] {
            state.records.insert(&from, bytes).unwrap();
            assert!(state.set_aside(MARKS, &long, aside).unwrap());
            assert!(state.list::<u64>(MARKS, 10).unwrap().is_empty());
        }
        assert!(!state.set_aside(MARKS, &long, aside).unwrap());
        let kept = state.records.scan_prefix(aside.prefix()).values();
        let mut lengths: Vec<_> = kept.map(|value| value.unwrap().len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [8, 1 << 17], "two that differ are two, two that are equal are one");
    }

    #[test]
    fn refuses_long_keys_and_bodies() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let long = RecordKey::new(vec![b'k'; KEY_BYTES_MAX + 1]);
        assert!(matches!(state.put(MARKS, &long, &1_u64), Err(RecordStoreError::LongKey { .. })));
        let body = vec![0_u8; 65 << 10];
        assert!(matches!(
            state.put(MARKS, &key("a"), &body),
            Err(RecordStoreError::BadRecord { source: RecordError::BadBody { .. }, .. })
        ));
        assert_eq!(state.get::<Vec<u8>>(MARKS, &key("a")).unwrap(), None);
    }
}
