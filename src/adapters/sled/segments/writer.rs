//! Appending and cutting: one writer, which the chain store's write lock guards.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    FIRST_SEGMENT, HEADER_BYTES, Location, SegmentError, check_header, header, open_error,
    segment_path, sync_dir,
};

/// Bytes gathered before a write is made. Too low: a system call for each small block. Too high:
/// memory that nobody budgets; the buffer holds at most this and one block.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes records behind the last one that counts.
#[derive(Debug)]
pub(in super::super) struct SegmentWriter {
    dir: PathBuf,
    block_bytes_max: u32,
    segment_bytes_max: u64,
    number: u32,
    file: File,
    end: u64,
    /// Files left behind by rolling that may hold unsynced records.
    unsynced: Vec<(PathBuf, File)>,
    /// Whether the directory has a file that its last sync did not cover.
    created: bool,
}

/// The limits a writer keeps.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct SegmentLimits {
    /// The longest block stored, in bytes.
    pub(in super::super) block_bytes_max: u32,
    /// The length at which a file is left for the next one, in bytes.
    pub(in super::super) segment_bytes_max: u64,
}

impl SegmentWriter {
    /// A writer of a new store in `dir`, which is made if it is missing. A first file of at most
    /// `leftover_bytes_max` is what an interrupted creation leaves, and is replaced.
    ///
    /// # Errors
    /// [`SegmentError::Leftover`] when there is more than that; I/O.
    pub(in super::super) fn create(
        dir: PathBuf,
        limits: SegmentLimits,
        leftover_bytes_max: u64,
    ) -> Result<Self, SegmentError> {
        fs::create_dir_all(&dir).map_err(SegmentError::io("creating", &dir))?;
        let second = segment_path(&dir, FIRST_SEGMENT + 1);
        if segment_length(&second)?.is_some() {
            return Err(SegmentError::Leftover { file: second });
        }
        let path = segment_path(&dir, FIRST_SEGMENT);
        match segment_length(&path)? {
            Some(length) if length > leftover_bytes_max => {
                return Err(SegmentError::Leftover { file: path });
            }
            Some(_) => fs::remove_file(&path).map_err(SegmentError::io("removing", &path))?,
            None => {}
        }
        let file = create_segment(&path, FIRST_SEGMENT)?;
        Ok(Self::with_file(dir, limits, FIRST_SEGMENT, file, HEADER_BYTES, true))
    }

    /// A writer behind `last`, the last record that counts. What lies behind it in its file, and
    /// every later file, was never committed and is cut; the second value is how many bytes.
    ///
    /// # Errors
    /// [`SegmentError::Missing`], [`SegmentError::BadHeader`], [`SegmentError::OtherVersion`] and
    /// [`SegmentError::Cut`] when the file is not what the index says; I/O.
    pub(in super::super) fn open(
        dir: PathBuf,
        limits: SegmentLimits,
        last: &Location,
    ) -> Result<(Self, u64), SegmentError> {
        let path = segment_path(&dir, last.segment);
        let file = open_segment(&path, last.segment)?;
        let mut writer = Self::with_file(dir, limits, last.segment, file, last.end(), false);
        let cut = writer.cut_behind(last)?;
        Ok((writer, cut))
    }

    /// Appends `blocks` in their order, without making them durable. After an error the files hold
    /// an unknown part of them: use the writer no more.
    ///
    /// # Errors
    /// [`SegmentError::Unstorable`] before anything is written; [`SegmentError::Exhausted`]; I/O.
    pub(in super::super) fn append<'a>(
        &mut self,
        blocks: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Vec<Location>, SegmentError> {
        for block in blocks.clone() {
            self.storable_length(block)?;
        }
        let mut locations = Vec::new();
        let mut buffer = Vec::new();
        for block in blocks {
            let length = self.storable_length(block)?;
            let offset = self.end.saturating_add(buffer_bytes(&buffer));
            let mut location = Location { segment: self.number, offset, length };
            if location.end() > self.segment_bytes_max && offset > HEADER_BYTES {
                self.write(&mut buffer)?;
                self.roll()?;
                location.segment = self.number;
                location.offset = self.end;
            }
            buffer.extend_from_slice(&length.to_le_bytes());
            buffer.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
            buffer.extend_from_slice(block);
            locations.push(location);
            if buffer.len() >= BUFFER_BYTES {
                self.write(&mut buffer)?;
            }
        }
        self.write(&mut buffer)?;
        Ok(locations)
    }

    /// Makes everything that was appended survive a power loss.
    ///
    /// # Errors
    /// I/O. What is on the disk is then unknown: use the writer no more.
    pub(in super::super) fn sync(&mut self) -> Result<(), SegmentError> {
        while let Some((path, file)) = self.unsynced.pop() {
            file.sync_data().map_err(SegmentError::io("syncing", &path))?;
        }
        let path = segment_path(&self.dir, self.number);
        self.file.sync_data().map_err(SegmentError::io("syncing", &path))?;
        if self.created {
            sync_dir(&self.dir)?;
            self.created = false;
        }
        Ok(())
    }

    /// Makes `last` the last record, durably, and returns how many bytes were cut.
    ///
    /// # Errors
    /// As for [`SegmentWriter::open`]. Use the writer no more after one.
    pub(in super::super) fn cut_to(&mut self, last: &Location) -> Result<u64, SegmentError> {
        let path = segment_path(&self.dir, last.segment);
        self.file = open_segment(&path, last.segment)?;
        self.number = last.segment;
        self.cut_behind(last)
    }

    fn cut_behind(&mut self, last: &Location) -> Result<u64, SegmentError> {
        let path = segment_path(&self.dir, self.number);
        let length = self.file.metadata().map_err(SegmentError::io("inspecting", &path))?.len();
        let Some(behind) = length.checked_sub(last.end()) else {
            return Err(SegmentError::Cut { file: path, end: last.end() });
        };
        let removed = remove_after(&self.dir, self.number)?;
        if behind > 0 {
            self.file.set_len(last.end()).map_err(SegmentError::io("cutting", &path))?;
            self.file.sync_all().map_err(SegmentError::io("syncing", &path))?;
        }
        self.unsynced.clear();
        self.end = last.end();
        Ok(behind.saturating_add(removed))
    }

    fn with_file(
        dir: PathBuf,
        limits: SegmentLimits,
        number: u32,
        file: File,
        end: u64,
        created: bool,
    ) -> Self {
        let SegmentLimits { block_bytes_max, segment_bytes_max } = limits;
        let unsynced = Vec::new();
        Self { dir, block_bytes_max, segment_bytes_max, number, file, end, unsynced, created }
    }

    fn storable_length(&self, block: &[u8]) -> Result<u32, SegmentError> {
        u32::try_from(block.len())
            .ok()
            .filter(|length| (1..=self.block_bytes_max).contains(length))
            .ok_or(SegmentError::Unstorable { length: block.len(), max: self.block_bytes_max })
    }

    fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), SegmentError> {
        let path = segment_path(&self.dir, self.number);
        self.file.write_all_at(buffer, self.end).map_err(SegmentError::io("writing", &path))?;
        self.end = self.end.saturating_add(buffer_bytes(buffer));
        buffer.clear();
        Ok(())
    }

    fn roll(&mut self) -> Result<(), SegmentError> {
        let path = segment_path(&self.dir, self.number);
        let Some(number) = self.number.checked_add(1) else {
            return Err(SegmentError::Exhausted { file: path });
        };
        let next = create_segment(&segment_path(&self.dir, number), number)?;
        self.unsynced.push((path, std::mem::replace(&mut self.file, next)));
        self.number = number;
        self.end = HEADER_BYTES;
        self.created = true;
        Ok(())
    }
}

fn buffer_bytes(buffer: &[u8]) -> u64 {
    u64::try_from(buffer.len()).unwrap_or(u64::MAX)
}

fn create_segment(path: &Path, number: u32) -> Result<File, SegmentError> {
    // A file that is there already was not made by this writer: never write over it.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(SegmentError::io("creating", path))?;
    file.write_all_at(&header(number), 0).map_err(SegmentError::io("writing", path))?;
    Ok(file)
}

fn open_segment(path: &Path, number: u32) -> Result<File, SegmentError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(open_error(path))?;
    check_header(&file, path, number)?;
    Ok(file)
}

/// The length of a segment file, or `None` if there is none.
fn segment_length(path: &Path) -> Result<Option<u64>, SegmentError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SegmentError::io("inspecting", path)(error)),
    }
}

/// Removes the files after `number` and returns their length. They have no holes between them:
/// they are made upwards and removed downwards, so that a crash leaves none either.
fn remove_after(dir: &Path, number: u32) -> Result<u64, SegmentError> {
    let mut after = Vec::new();
    let mut next = number;
    while let Some(following) = next.checked_add(1) {
        next = following;
        let path = segment_path(dir, next);
        let Some(length) = segment_length(&path)? else { break };
        after.push((path, length));
    }
    let mut removed = 0_u64;
    let any = !after.is_empty();
    while let Some((path, length)) = after.pop() {
        fs::remove_file(&path).map_err(SegmentError::io("removing", &path))?;
        removed = removed.saturating_add(length);
    }
    if any {
        sync_dir(dir)?;
    }
    Ok(removed)
}
