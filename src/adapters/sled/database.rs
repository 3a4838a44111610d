//! The embedded database: how it is set up, and what "durable" means for it.
//!
//! Owns its settings, its error mapping and its one way to durability. Does not know what the trees
//! hold. All calls may block on the disk.

use std::{
    fs::{File, TryLockError},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ::sled::{Config, Db, Tree};

use super::{RecordError, data_dir::DirLock};
use crate::types::Height;

/// The unit in which the database file grows. Unit: bytes. Source: its values over a quarter of
/// this go to files that it never syncs; ours are at most 64 KiB. Too low: such files appear. Too
/// high: a coarser file, and memory for its write buffers. Cannot change for an existing file.
const SEGMENT_BYTES: usize = 8 << 20;

/// Memory for cached pages. Unit: bytes. Source: the default of a GiB is twice the whole budget of
/// a node. Too low: an extra disk read for lookups at old heights. Too high: the budget is broken.
const CACHE_BYTES: u64 = 64 << 20;

/// How often the database flushes and tidies by itself. Unit: milliseconds. Durability does not
/// rest on it. Too low: wasted writes. Too high: space of replaced pages is reused late.
const TIDY_EVERY_MS: u64 = 500;

/// How long an earlier use of the database may take to end. Source: its background threads hold the
/// file some milliseconds after the last handle is dropped. Too low: a store that is opened again
/// at once is refused. Too high: a program that takes the file past our own lock is reported late.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// How often that is looked at. Too low: processor time. Too high: opening again takes longer.
const RELEASE_POLL: Duration = Duration::from_millis(2);

/// Why the index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The operating system refused.
    #[error("{action} the index failed")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The database found its own file damaged.
    #[error("the index database is damaged")]
    Damaged {
        /// What it said, for people.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record that always exists is not there.
    #[error("the index has no {name:?} record")]
    Missing {
        /// The name of the record.
        name: &'static str,
    },
    /// A record fails its checks.
    #[error("the {name:?} record of the index fails its checks")]
    BadRecord {
        /// The name of the record.
        name: &'static str,
        /// How it fails.
        #[source]
        source: RecordError,
    },
    /// The entry of a height below the head is missing or fails its checks.
    #[error("the index entry of height {height} is missing or damaged")]
    BadEntry {
        /// Which height.
        height: Height,
    },
    /// A root leads to a height that has another one.
    #[error("the index of roots does not fit the index of heights")]
    BadRoot,
    /// An earlier write failed, so what the disk holds is unknown until the database is opened
    /// again.
    #[error("the index is closed to writes after an earlier failure")]
    Poisoned,
}

impl IndexError {
    /// How the database's own errors are told on.
    pub(super) fn from_sled(action: &'static str) -> impl FnOnce(::sled::Error) -> Self {
        move |error| match error {
            ::sled::Error::Io(source) => Self::Io { action, source },
            damaged @ (::sled::Error::Corruption { .. }
            | ::sled::Error::CollectionNotFound(_)
            | ::sled::Error::Unsupported(_)
            | ::sled::Error::ReportableBug(_)) => Self::Damaged { source: damaged.into() },
        }
    }
}

/// An open database together with the lock of the directory it lies in. All who write to it share
/// its file, and the system tells of pages it lost once, to whoever syncs next: so after the first
/// write or sync that failed, it refuses those of everybody. It can still be read.
#[derive(Debug)]
pub(super) struct Database {
    db: Db,
    /// The database's file: what its own flush leaves in the drive's cache, this syncs. One at a
    /// time, since of two that sync at once only one is told that pages were lost.
    file: Mutex<File>,
    /// Whether a write or a sync has failed.
    poisoned: AtomicBool,
    /// Let go of last, when nothing writes any more.
    _lock: DirLock,
}

impl Database {
    /// Opens the database in `dir`, or makes it.
    ///
    /// # Errors
    /// [`IndexError::Io`] and [`IndexError::Damaged`].
    pub(super) fn open(dir: &Path, lock: DirLock) -> Result<Arc<Self>, IndexError> {
        let config = Config::new()
            .path(dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(TIDY_EVERY_MS));
        wait_until_released(&dir.join("db"))
            .map_err(|source| IndexError::Io { action: "locking", source })?;
        // It asserts on some damage instead of reporting it, which must not take the process down.
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| IndexError::Damaged { source: "it panicked while opening".into() })?
            .map_err(IndexError::from_sled("opening"))?;
        let io = |source| IndexError::Io { action: "opening", source };
        let file = File::open(dir.join("db")).map_err(io)?;
        // It does not sync the file with its settings, without which it does not open again.
        for made in [dir.join("conf"), dir.join("db"), dir.to_path_buf()] {
            File::open(made).and_then(|made| made.sync_all()).map_err(io)?;
        }
        let (file, poisoned) = (Mutex::new(file), AtomicBool::new(false));
        Ok(Arc::new(Self { db, file, poisoned, _lock: lock }))
    }

    /// Opens a tree, or makes it.
    ///
    /// # Errors
    /// [`IndexError::Io`] and [`IndexError::Damaged`].
    pub(super) fn tree(&self, name: &str) -> Result<Tree, IndexError> {
        self.db.open_tree(name).map_err(IndexError::from_sled("opening"))
    }

    /// Runs `write`, unless an earlier one failed.
    ///
    /// # Errors
    /// [`IndexError::Poisoned`] with nothing done; those of `write`, after which nobody writes.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce() -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(IndexError::Poisoned);
        }
        // A panic leaves as much in doubt as an error does.
        let written = catch_unwind(AssertUnwindSafe(write));
        if !matches!(written, Ok(Ok(_))) {
            self.poisoned.store(true, Ordering::SeqCst);
        }
        written.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Makes every write that returned before this call survive a power loss. The database's own
    /// flush ends in `sync_file_range`, which covers neither the length of a file that grew nor the
    /// cache of the drive, so its file is synced as well.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`], [`IndexError::Poisoned`]. What is on the disk
    /// is then unknown.
    pub(super) fn make_durable(&self) -> Result<(), IndexError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(|| {
            self.db.flush().map_err(IndexError::from_sled("flushing"))?;
            file.sync_data().map_err(|source| IndexError::Io { action: "syncing", source })
        })
    }
}

/// Waits until nobody holds the database's file. The directory's own lock is ours, so whoever does
/// is about to end.
fn wait_until_released(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return file.unlock(),
            Err(TryLockError::WouldBlock) if start.elapsed() < RELEASE_MAX => {
                thread::sleep(RELEASE_POLL);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{
        super::{data_dir, index::Index, record_store::RecordStore},
        *,
    };
    use crate::{
        adapters::conformance::checkpoint,
        ports::{ChainError, Journal as _},
        types::{BlockRef, BlockRoot},
    };

    fn open(dir: &TempDir) -> Arc<Database> {
        let lock = data_dir::claim(dir.path(), BlockRoot::ZERO).unwrap();
        Database::open(&dir.path().join("index"), lock).unwrap()
    }

    impl Database {
        /// Puts another file in the place of the one that is synced.
        fn sync_instead(&self, file: File) -> File {
            std::mem::replace(&mut *self.file.lock().unwrap(), file)
        }
    }

    #[test]
    fn sync_that_fails_for_one_closes_the_database_to_everybody() {
        let dir = TempDir::new().unwrap();
        let database = open(&dir);
        let journal = RecordStore::open(&database).unwrap();
        let index = Index::open(Arc::clone(&database)).unwrap();
        journal.put_checkpoint(&checkpoint(100)).unwrap();

        // The system refuses to sync a device that holds nothing.
        let file = database.sync_instead(File::open("/dev/null").unwrap());
        let failed = journal.store_peers(&[], &[]).unwrap_err();
        assert!(matches!(failed, ChainError::Io { .. }), "{failed:?}");
        // As after lost pages: the next sync by itself would succeed.
        database.sync_instead(file);
        let head = BlockRef { height: Height::new(7), root: BlockRoot::ZERO };
        let refused = index.lower_head(head).unwrap_err();
        assert!(matches!(refused, IndexError::Poisoned), "{refused:?}");
        assert!(matches!(index.head(), Err(IndexError::Missing { .. })), "nothing was written");
        let refused = journal.put_checkpoint(&checkpoint(200)).unwrap_err();
        assert!(matches!(refused, ChainError::Poisoned), "{refused:?}");
        let kept = journal.checkpoints().unwrap().0;
        assert_eq!(kept, [checkpoint(100)], "it can still be read, and nothing was written");
    }

    #[test]
    fn write_that_fails_or_panics_is_the_last() {
        for fails in [|| Err(IndexError::BadRoot), || panic!("the database panics")] {
            let dir = TempDir::new().unwrap();
            let database = open(&dir);
            database.write(|| Ok(())).unwrap();
            let failed = catch_unwind(AssertUnwindSafe(|| database.write::<()>(fails)));
            assert!(!matches!(failed, Ok(Ok(()))));
            let refused = database.write(|| Ok(())).unwrap_err();
            assert!(matches!(refused, IndexError::Poisoned), "{refused:?}");
        }
    }
}
