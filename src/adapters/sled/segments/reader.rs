//! Reading records: shared by any number of threads, never in the way of the writer.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, Bytes};

use super::{
    FIRST_SEGMENT, HEADER_BYTES, Location, RECORD_HEADER_BYTES, SegmentError, check_header,
    open_error, segment_path, sync_dir,
};

/// Files held open for reading. Unit: files. Too low: readers at distant heights reopen files all
/// the time (tens of microseconds each). Too high: descriptors are missing elsewhere. Peers read
/// at about as many places as there are requests served at once.
const FILES_OPEN_MAX: usize = 16;

/// Neighbouring records fetched by one system call. Unit: bytes. Too low: a call for each small
/// block. Too high: one block kept alive keeps that many bytes alive, since the blocks of a run
/// share its memory.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// Reads records by location.
#[derive(Debug)]
pub(in super::super) struct SegmentReader {
    dir: PathBuf,
    block_bytes_max: u32,
    /// Most recently used last.
    files: Mutex<VecDeque<(u32, Arc<File>)>>,
}

impl SegmentReader {
    /// A reader of the files in `dir` that refuses blocks over `block_bytes_max`.
    pub(in super::super) fn new(dir: PathBuf, block_bytes_max: u32) -> Self {
        Self { dir, block_bytes_max, files: Mutex::default() }
    }

    /// The file that a location lies in.
    pub(in super::super) fn path(&self, location: &Location) -> PathBuf {
        segment_path(&self.dir, location.segment)
    }

    /// The blocks at `locations`, in their order. Neighbours are fetched together.
    ///
    /// # Errors
    /// Each [`SegmentError`] of a missing, cut or changed file, and I/O.
    pub(in super::super) fn read(
        &self,
        locations: &[Location],
    ) -> Result<Vec<Bytes>, SegmentError> {
        let mut blocks = Vec::with_capacity(locations.len());
        let mut rest = locations;
        while let Some((run, after)) = self.split_run(rest)? {
            self.read_run(run, &mut blocks)?;
            rest = after;
        }
        Ok(blocks)
    }

    /// The first record of all, if there is a whole one.
    ///
    /// # Errors
    /// I/O.
    pub(in super::super) fn first(&self) -> Result<Option<(Location, Bytes)>, SegmentError> {
        Ok(self.look(FIRST_SEGMENT, HEADER_BYTES)?.whole())
    }

    /// The record behind `last`, in its file or at the start of the next one. `None` where the
    /// files end and where what follows is no whole record.
    ///
    /// # Errors
    /// I/O.
    pub(in super::super) fn following(
        &self,
        last: &Location,
    ) -> Result<Option<(Location, Bytes)>, SegmentError> {
        match (self.look(last.segment, last.end())?, last.segment.checked_add(1)) {
            (Found::End, Some(next)) => Ok(self.look(next, HEADER_BYTES)?.whole()),
            (found, _) => Ok(found.whole()),
        }
    }

    /// Makes the records at `locations` survive a power loss, whoever wrote them.
    ///
    /// # Errors
    /// [`SegmentError::Missing`], [`SegmentError::BadHeader`], [`SegmentError::OtherVersion`]; I/O.
    pub(in super::super) fn sync(&self, locations: &[Location]) -> Result<(), SegmentError> {
        let segments: BTreeSet<u32> = locations.iter().map(|location| location.segment).collect();
        for segment in segments {
            let path = segment_path(&self.dir, segment);
            let file = self.open(segment, &path)?;
            file.sync_data().map_err(SegmentError::io("syncing", &path))?;
        }
        sync_dir(&self.dir)
    }

    fn look(&self, segment: u32, offset: u64) -> Result<Found, SegmentError> {
        let path = segment_path(&self.dir, segment);
        let file = match self.open(segment, &path) {
            Ok(file) => file,
            Err(error) => return Found::unless_unreadable(error),
        };
        let length = file.metadata().map_err(SegmentError::io("inspecting", &path))?.len();
        if length == offset {
            return Ok(Found::End);
        }
        if length < offset.saturating_add(RECORD_HEADER_BYTES) {
            return Ok(Found::Torn);
        }
        let mut stated = [0; 4];
        file.read_exact_at(&mut stated, offset).map_err(SegmentError::io("reading", &path))?;
        let location = Location { segment, offset, length: u32::from_le_bytes(stated) };
        match self.read(&[location]) {
            Ok(blocks) => Ok(blocks
                .into_iter()
                .next()
                .map_or(Found::Torn, |block| Found::Whole(location, block))),
            Err(error) => Found::unless_unreadable(error),
        }
    }

    /// Lets go of every file, because some of them are about to shrink or go.
    pub(in super::super) fn forget_files(&self) {
        self.open_files().clear();
    }

    /// Splits off the longest start of `locations` that one call may fetch.
    #[expect(clippy::type_complexity, reason = "a pair of slices, named where it is used")]
    fn split_run<'a>(
        &self,
        locations: &'a [Location],
    ) -> Result<Option<(&'a [Location], &'a [Location])>, SegmentError> {
        let Some(first) = locations.first() else { return Ok(None) };
        let mut end = first.offset;
        let mut count = 0;
        for location in locations {
            if location.length == 0 || location.length > self.block_bytes_max {
                return Err(SegmentError::Unstorable {
                    length: usize::try_from(location.length).unwrap_or(usize::MAX),
                    max: self.block_bytes_max,
                });
            }
            let adjoins = location.segment == first.segment && location.offset == end;
            let fits = location.end().saturating_sub(first.offset) <= RUN_BYTES_MAX;
            if count > 0 && !(adjoins && fits) {
                break;
            }
            end = location.end();
            count += 1;
        }
        Ok(locations.split_at_checked(count))
    }

    fn read_run(&self, run: &[Location], blocks: &mut Vec<Bytes>) -> Result<(), SegmentError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let path = self.path(first);
        let file = self.open(first.segment, &path)?;
        let cut = || SegmentError::Cut { file: path.clone(), end: last.end() };
        let length = usize::try_from(last.end().saturating_sub(first.offset)).map_err(|_| cut())?;
        let mut buffer = vec![0; length];
        file.read_exact_at(&mut buffer, first.offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                cut()
            } else {
                SegmentError::io("reading", &path)(error)
            }
        })?;
        let mut bytes = Bytes::from(buffer);
        for location in run {
            blocks.push(take_record(&mut bytes, location, &path)?);
        }
        Ok(())
    }

    fn open(&self, number: u32, path: &Path) -> Result<Arc<File>, SegmentError> {
        let mut files = self.open_files();
        if let Some(at) = files.iter().position(|(held, _)| *held == number)
            && let Some((_, file)) = files.remove(at)
        {
            files.push_back((number, Arc::clone(&file)));
            return Ok(file);
        }
        let file = File::open(path).map_err(open_error(path))?;
        check_header(&file, path, number)?;
        let file = Arc::new(file);
        while files.len() >= FILES_OPEN_MAX {
            files.pop_front();
        }
        files.push_back((number, Arc::clone(&file)));
        Ok(file)
    }

    fn open_files(&self) -> MutexGuard<'_, VecDeque<(u32, Arc<File>)>> {
        // Whatever a panicking thread left is a list of open files: nothing in it can be half done.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lies at a place that the index does not know.
enum Found {
    Whole(Location, Bytes),
    /// The file ends there.
    End,
    Torn,
}

impl Found {
    fn whole(self) -> Option<(Location, Bytes)> {
        match self {
            Self::Whole(location, block) => Some((location, block)),
            Self::End | Self::Torn => None,
        }
    }

    fn unless_unreadable(error: SegmentError) -> Result<Self, SegmentError> {
        match error {
            // A later release knows what to do with its files.
            SegmentError::Io { .. } | SegmentError::OtherVersion { .. } => Err(error),
            SegmentError::Missing { .. }
            | SegmentError::BadHeader { .. }
            | SegmentError::Cut { .. }
            | SegmentError::BadLength { .. }
            | SegmentError::BadChecksum { .. }
            | SegmentError::Unstorable { .. }
            | SegmentError::Leftover { .. }
            | SegmentError::Exhausted { .. } => Ok(Self::Torn),
        }
    }
}

/// Takes one record off the front of `bytes`, which holds all of it.
fn take_record(bytes: &mut Bytes, location: &Location, path: &Path) -> Result<Bytes, SegmentError> {
    let cut = || SegmentError::Cut { file: path.to_path_buf(), end: location.end() };
    let found = bytes.try_get_u32_le().map_err(|_| cut())?;
    let checksum = bytes.try_get_u32_le().map_err(|_| cut())?;
    if found != location.length {
        return Err(SegmentError::BadLength {
            file: path.to_path_buf(),
            offset: location.offset,
            found,
            indexed: location.length,
        });
    }
    let length = usize::try_from(found).map_err(|_| cut())?;
    if bytes.len() < length {
        return Err(cut());
    }
    let block = bytes.split_to(length);
    if crc32fast::hash(&block) != checksum {
        let file = path.to_path_buf();
        return Err(SegmentError::BadChecksum { file, offset: location.offset });
    }
    debug_assert_eq!(location.end() - location.offset, RECORD_HEADER_BYTES + u64::from(found));
    Ok(block)
}
