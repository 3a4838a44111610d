//! Where a recovery moves what lies behind the new head: kept for people, read by nobody.
//!
//! A file that lies behind as a whole is moved, the rest of the file with the head is copied before
//! it is cut. All of it can be downloaded again, so its size is limited, and what does not fit is
//! gone, unless an index is made anew: then all of it may be good. Begun again after a crash, it
//! goes on with what is left.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use super::{OpenError, data_dir::sync_dir, segments::Location};
use crate::checkpoint::Quarantine;

/// What all quarantines of a directory may hold of what a recovery gives up. Unit: bytes. Source:
/// four segment files, so one damaged file with what came after it fits. Too low: what could tell
/// what happened is gone. Too high: a disk that fails again and again fills itself.
const QUARANTINE_BYTES_MAX: u64 = 1 << 30;

/// Quarantines in one directory. Unit: directories. Too low: an old disk has nowhere to put the
/// next. Too high: a search for a free name.
const QUARANTINES_MAX: u32 = 9_999;

/// How much a quarantine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// As much as [`QUARANTINE_BYTES_MAX`] leaves: what does not fit is gone.
    Limited,
    /// All there is: behind a block that is damaged there may be any number of good ones.
    ForAll,
}

/// Moves everything behind `last` out of the segment files in `blocks` into a new quarantine in
/// `dir`, durably. `None` if there is nothing.
///
/// # Errors
/// [`OpenError::Io`]; what was not moved is still where it was.
pub(super) fn move_behind(
    dir: &Path,
    blocks: &Path,
    last: &Location,
    room: Room,
) -> Result<Option<Quarantine>, OpenError> {
    let head_file = blocks.join(segment_name(last.segment));
    let length = fs::metadata(&head_file).map_err(OpenError::io("inspecting", &head_file))?.len();
    let rest = length.saturating_sub(last.end());
    let files = files_after(blocks, last.segment)?;
    if rest == 0 && files.is_empty() {
        return Ok(None);
    }
    let quarantines = dir.join("quarantine");
    make_dir(&quarantines, dir)?;
    let mut room = match room {
        Room::Limited => QUARANTINE_BYTES_MAX.saturating_sub(bytes_in(&quarantines)?),
        Room::ForAll => u64::MAX,
    };
    let target = free_dir(&quarantines)?;
    make_dir(&target, &quarantines)?;
    let (mut kept, mut dropped) = (0_u64, 0_u64);
    if rest > 0 {
        let count = rest.min(room);
        copy_rest(&head_file, last, count, &target)?;
        room -= count;
        kept = kept.saturating_add(count);
        dropped = dropped.saturating_add(rest - count);
    }
    // Downwards, so that a crash leaves files without a hole between them.
    for (number, length) in files.into_iter().rev() {
        let from = blocks.join(segment_name(number));
        if length <= room {
            let to = target.join(segment_name(number));
            fs::rename(&from, &to).map_err(OpenError::io("moving", &from))?;
            room -= length;
            kept = kept.saturating_add(length);
        } else {
            fs::remove_file(&from).map_err(OpenError::io("removing", &from))?;
            dropped = dropped.saturating_add(length);
        }
    }
    sync_dir(&target)?;
    sync_dir(blocks)?;
    let dir = target.display().to_string();
    Ok(Some(Quarantine { dir, bytes_kept: kept, bytes_dropped: dropped }))
}

/// Moves the index out of `dir` into a new quarantine, durably, and says where it is. `None` if
/// there is no index. It is moved whatever its size, in place of the one that was moved before.
///
/// # Errors
/// [`OpenError::Io`]; it is still where it was, or moved.
pub(super) fn move_index(dir: &Path, index: &Path) -> Result<Option<PathBuf>, OpenError> {
    if !index.try_exists().map_err(OpenError::io("inspecting", index))? {
        return Ok(None);
    }
    let quarantines = dir.join("quarantine");
    make_dir(&quarantines, dir)?;
    let target = free_dir(&quarantines)?;
    make_dir(&target, &quarantines)?;
    let to = target.join("index");
    fs::rename(index, &to).map_err(OpenError::io("moving", index))?;
    sync_dir(&target)?;
    sync_dir(dir)?;
    remove_older_indexes(&quarantines, &to)?;
    Ok(Some(to))
}

fn remove_older_indexes(quarantines: &Path, newest: &Path) -> Result<(), OpenError> {
    let listing = || OpenError::io("listing", quarantines);
    for found in fs::read_dir(quarantines).map_err(listing())? {
        let older = found.map_err(listing())?.path().join("index");
        if older != newest && older.is_dir() {
            fs::remove_dir_all(&older).map_err(OpenError::io("removing", &older))?;
        }
    }
    Ok(())
}

fn segment_name(number: u32) -> String {
    format!("{number:08}.seg")
}

/// The segment files after `number` with their lengths, in order, holes between them or not.
fn files_after(blocks: &Path, number: u32) -> Result<Vec<(u32, u64)>, OpenError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(blocks).map_err(OpenError::io("listing", blocks))? {
        let entry = entry.map_err(OpenError::io("listing", blocks))?;
        let name = entry.file_name();
        let found = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse().ok());
        let Some(found) = found.filter(|found: &u32| *found > number) else { continue };
        if name.to_str() == Some(&segment_name(found)) {
            let length = entry.metadata().map_err(OpenError::io("inspecting", &entry.path()))?;
            files.push((found, length.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn copy_rest(from: &Path, last: &Location, count: u64, target: &Path) -> Result<(), OpenError> {
    let name = format!("{:08}.from-{}", last.segment, last.end());
    let to = target.join(name);
    let copy = || -> io::Result<()> {
        let mut source = File::open(from)?;
        source.seek(io::SeekFrom::Start(last.end()))?;
        let mut copied = File::create(&to)?;
        io::copy(&mut source.take(count), &mut copied)?;
        copied.sync_all()
    };
    copy().map_err(OpenError::io("writing", &to))
}

fn make_dir(dir: &Path, parent: &Path) -> Result<(), OpenError> {
    match fs::create_dir(dir) {
        Ok(()) => sync_dir(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::io("creating", dir)(error)),
    }
}

fn free_dir(quarantines: &Path) -> Result<PathBuf, OpenError> {
    let named = |number: u32| quarantines.join(format!("{number:04}"));
    let free = (1..=QUARANTINES_MAX).map(named).find(|dir| !dir.exists());
    free.ok_or_else(|| {
        let full = io::Error::other("every name is taken: remove old ones");
        OpenError::io("adding to", quarantines)(full)
    })
}

/// What all quarantines hold of blocks. Unit: bytes.
fn bytes_in(quarantines: &Path) -> Result<u64, OpenError> {
    let mut bytes = 0_u64;
    let listing = || OpenError::io("listing", quarantines);
    for dir in fs::read_dir(quarantines).map_err(listing())? {
        let dir = dir.map_err(listing())?;
        if !dir.file_type().map_err(listing())?.is_dir() {
            continue;
        }
        for found in fs::read_dir(dir.path()).map_err(listing())? {
            let found = found.and_then(|found| found.metadata()).map_err(listing())?;
            // An index that was moved is a directory, and counts for itself.
            bytes = bytes.saturating_add(if found.is_file() { found.len() } else { 0 });
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with `rest` bytes behind the head in its file, `after` bytes in the next file,
    /// and `full` bytes in an old quarantine. The files are sparse.
    fn damaged(rest: u64, after: u64, full: u64) -> (tempfile::TempDir, PathBuf, Location) {
        let dir = tempfile::tempdir().unwrap();
        let (blocks, old) = (dir.path().join("blocks"), dir.path().join("quarantine/0001"));
        let last = Location { segment: 1, offset: 0, length: 10 };
        for (file, length) in [
            (blocks.join(segment_name(1)), last.end() + rest),
            (blocks.join(segment_name(2)), after),
            (old.join(segment_name(7)), full),
            // An index that was moved takes no room of the blocks.
            (old.join("index/db"), QUARANTINE_BYTES_MAX),
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            File::create(file).unwrap().set_len(length).unwrap();
        }
        (dir, blocks, last)
    }

    fn moved(rest: u64, after: u64, full: u64, room: Room) -> (u64, u64) {
        let (dir, blocks, last) = damaged(rest, after, full);
        let moved = move_behind(dir.path(), &blocks, &last, room).unwrap().unwrap();
        assert_eq!(Path::new(&moved.dir), dir.path().join("quarantine/0002"));
        let there = bytes_in(&dir.path().join("quarantine")).unwrap() - full;
        assert_eq!(there, moved.bytes_kept);
        assert!(!blocks.join(segment_name(2)).exists());
        (moved.bytes_kept, moved.bytes_dropped)
    }

    #[test]
    fn all_quarantines_together_hold_no_more_than_the_limit() {
        let left = |bytes| QUARANTINE_BYTES_MAX - bytes;
        assert_eq!(moved(150, 50, left(200), Room::Limited), (200, 0));
        assert_eq!(moved(150, 50, left(199), Room::Limited), (150, 50));
        assert_eq!(moved(150, 50, left(100), Room::Limited), (100, 100));
        assert_eq!(moved(150, 50, left(0), Room::Limited), (0, 200));
        assert_eq!(moved(150, 50, QUARANTINE_BYTES_MAX + 1, Room::Limited), (0, 200));
    }

    #[test]
    fn quarantine_for_all_drops_nothing() {
        assert_eq!(moved(150, 50, QUARANTINE_BYTES_MAX + 1, Room::ForAll), (200, 0));
    }
}
