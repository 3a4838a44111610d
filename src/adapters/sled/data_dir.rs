//! The data directory: whose it is, whose chain it holds, and that one process uses it at a time.
//!
//! Owns the marker file and the lock. Does not touch blocks or the index. A directory that is not
//! ours, or holds another chain or layout, is left exactly as it was found.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::OpenError;
use crate::types::BlockRoot;

/// The layout of the whole directory. A release that changes it in a way that an earlier one would
/// misread adds one.
pub(super) const FORMAT: u32 = 1;

/// Says that a directory is ours.
const MARKER: &str = "alys-sync.json";

/// The marker before its name is its own.
const MARKER_UNFINISHED: &str = "alys-sync.json.tmp";

/// Held locked as long as the directory is in use. Its content means nothing.
const LOCK: &str = "LOCK";

/// What a fresh directory may contain: what we leave when we die while making it, and what file
/// systems put into the root of a volume.
const NOT_CONTENT: [&str; 3] = [LOCK, MARKER_UNFINISHED, "lost+found"];

/// The longest marker read. Unit: bytes. Ours has about 250. Too low: later releases cannot add to
/// it. Too high: memory spent on a file that is not ours.
const MARKER_BYTES_MAX: u64 = 64 << 10;

/// The first thing read from a marker: the rest depends on it.
#[derive(Deserialize)]
struct MarkerFormat {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    #[serde(default)]
    about: String,
    format: u32,
    genesis: BlockRoot,
}

/// A lock on a data directory, until dropped or the process ends in whatever way.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

/// Takes `dir` into use for the chain with this genesis: makes and marks it if it is missing or
/// empty, and locks it.
///
/// # Errors
/// [`OpenError::NotADataDirectory`], [`OpenError::Locked`], [`OpenError::OtherVersion`],
/// [`OpenError::OtherChain`], [`OpenError::BadMarker`] and [`OpenError::Io`].
pub(super) fn claim(dir: &Path, genesis: BlockRoot) -> Result<DirLock, OpenError> {
    make_dir(dir)?;
    // Before the lock, so that a directory that is not ours does not even get a lock file.
    let fresh = read_marker(dir)?.is_none();
    if fresh {
        refuse_content(dir)?;
    }
    let lock = lock(dir)?;
    match read_marker(dir)? {
        Some(marker) if marker.genesis != genesis => Err(OpenError::OtherChain {
            dir: dir.to_path_buf(),
            stored: marker.genesis,
            given: genesis,
        }),
        Some(_) => Ok(lock),
        None => {
            write_marker(dir, genesis)?;
            Ok(lock)
        }
    }
}

fn make_dir(dir: &Path) -> Result<(), OpenError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::NotADataDirectory { dir: dir.to_path_buf() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(OpenError::io("inspecting", dir)(error)),
    }
    fs::create_dir_all(dir).map_err(OpenError::io("creating", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        Some(_) | None => sync_dir(Path::new(".")),
    }
}

fn refuse_content(dir: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(dir).map_err(OpenError::io("listing", dir))? {
        let name = entry.map_err(OpenError::io("listing", dir))?.file_name();
        if !NOT_CONTENT.iter().any(|allowed| name == *allowed) {
            return Err(OpenError::NotADataDirectory { dir: dir.to_path_buf() });
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(OpenError::io("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(DirLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("locking", &path)(error)),
    }
}

fn read_marker(dir: &Path) -> Result<Option<Marker>, OpenError> {
    let path = dir.join(MARKER);
    let mut file = match File::open(&path) {
        Ok(file) => file.take(MARKER_BYTES_MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io("opening", &path)(error)),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(OpenError::io("reading", &path))?;
    let bad = |source| OpenError::BadMarker { file: path.clone(), source };
    let MarkerFormat { format: found } = serde_json::from_slice(&bytes).map_err(bad)?;
    if found != FORMAT {
        return Err(OpenError::OtherVersion { dir: dir.to_path_buf(), found, known: FORMAT });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(bad)
}

fn write_marker(dir: &Path, genesis: BlockRoot) -> Result<(), OpenError> {
    let about = "Data directory of alys-sync. Do not edit, add or remove files in it.".to_owned();
    let marker = Marker { about, format: FORMAT, genesis };
    let unfinished = dir.join(MARKER_UNFINISHED);
    let mut text = serde_json::to_vec_pretty(&marker)
        .map_err(|source| OpenError::io("writing", &unfinished)(source.into()))?;
    text.push(b'\n');
    let mut file = File::create(&unfinished).map_err(OpenError::io("creating", &unfinished))?;
    file.write_all(&text).map_err(OpenError::io("writing", &unfinished))?;
    file.sync_all().map_err(OpenError::io("syncing", &unfinished))?;
    let path: PathBuf = dir.join(MARKER);
    fs::rename(&unfinished, &path).map_err(OpenError::io("renaming", &unfinished))?;
    sync_dir(dir)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(OpenError::io("syncing", dir))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const ROOT: BlockRoot = BlockRoot::new([7; 32]);

    #[test]
    fn marks_a_new_directory_and_knows_it_again() {
        let base = TempDir::new().unwrap();
        let dir = base.path().join("a/b");
        drop(claim(&dir, ROOT).unwrap());
        let text = fs::read_to_string(dir.join(MARKER)).unwrap();
        assert!(text.contains(&ROOT.to_string()), "{text}");
        drop(claim(&dir, ROOT).unwrap());
    }

    #[test]
    fn lets_one_process_in_at_a_time() {
        let dir = TempDir::new().unwrap();
        let lock = claim(dir.path(), ROOT).unwrap();
        let refused = claim(dir.path(), ROOT).unwrap_err();
        assert!(matches!(&refused, OpenError::Locked { dir: named } if named == dir.path()));
        assert!(refused.to_string().contains("another process"), "{refused}");
        drop(lock);
        claim(dir.path(), ROOT).unwrap();
    }

    #[test]
    fn refuses_another_chain() {
        let dir = TempDir::new().unwrap();
        drop(claim(dir.path(), ROOT).unwrap());
        assert!(matches!(
            claim(dir.path(), BlockRoot::ZERO),
            Err(OpenError::OtherChain { stored: ROOT, given: BlockRoot::ZERO, .. })
        ));
    }

    #[test]
    fn refuses_other_layouts_whatever_else_they_changed() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(MARKER), br#"{"format":2,"genesis":[1]}"#).unwrap();
        assert!(matches!(
            claim(dir.path(), ROOT),
            Err(OpenError::OtherVersion { found: 2, known: FORMAT, .. })
        ));
    }

    #[test]
    fn leaves_foreign_directories_and_files_alone() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("letter.txt");
        fs::write(&file, b"dear").unwrap();
        for path in [dir.path(), &file] {
            assert!(matches!(claim(path, ROOT), Err(OpenError::NotADataDirectory { .. })));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn finishes_a_creation_that_was_cut_off() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(MARKER_UNFINISHED), b"{").unwrap();
        fs::write(dir.path().join(LOCK), b"").unwrap();
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        claim(dir.path(), ROOT).unwrap();
    }

    #[test]
    fn refuses_a_broken_marker() {
        let dir = TempDir::new().unwrap();
        for broken in ["", "{", "[]", r#"{"format":1}"#, r#"{"format":1,"genesis":"0x12"}"#] {
            fs::write(dir.path().join(MARKER), broken).unwrap();
            assert!(matches!(claim(dir.path(), ROOT), Err(OpenError::BadMarker { .. })));
        }
    }
}
