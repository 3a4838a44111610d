//! Files that are there whole or not at all.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Written at once. Unit: bytes. Too low: many calls. Too high: memory.
const BUFFER_BYTES: usize = 1 << 20;

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {} failed", path.display())]
pub(crate) struct WriteFileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A file being written under another name. Dropped without [`Draft::commit`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: BufWriter<File>,
    committed: bool,
}

impl Draft {
    /// A draft of the file at `path`.
    ///
    /// # Errors
    /// [`WriteFileError`] when the directory is missing or not writable.
    pub(crate) fn of(path: &Path) -> Result<Self, WriteFileError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let draft = path.with_file_name(name);
        let file = File::create(&draft).map_err(failed("creating", path))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { path: path.to_owned(), draft, file, committed: false })
    }

    /// Makes the file durable, and replaces the one at its path if there is one.
    ///
    /// # Errors
    /// [`WriteFileError`]; the file that was there is untouched then.
    pub(crate) fn commit(mut self) -> Result<(), WriteFileError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(failed("writing", &self.path))?;
        fs::rename(&self.draft, &self.path).map_err(failed("replacing", &self.path))?;
        self.committed = true;
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteFileError {
    move |source| WriteFileError { action, path: path.to_owned(), source }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed {
            // A draft that cannot be removed is named as one, and in nobody's way.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

/// Writes a whole small file.
///
/// # Errors
/// [`WriteFileError`].
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), WriteFileError> {
    let mut draft = Draft::of(path)?;
    draft.write_all(content).map_err(failed("writing", path))?;
    draft.commit()
}

/// A file that is removed when this is dropped, if it is still the one that was written.
#[derive(Debug)]
pub(crate) struct FileWhileRunning {
    path: PathBuf,
    content: String,
}

impl FileWhileRunning {
    /// Writes `content` to `path`.
    ///
    /// # Errors
    /// [`WriteFileError`].
    pub(crate) fn write(path: PathBuf, content: String) -> Result<Self, WriteFileError> {
        write_file(&path, content.as_bytes())?;
        Ok(Self { path, content })
    }
}

impl Drop for FileWhileRunning {
    fn drop(&mut self) {
        if fs::read(&self.path).is_ok_and(|content| content == self.content.as_bytes()) {
            // A stale file is noticed by whoever reads it: nobody answers there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_replaces_the_file_at_once_or_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_file(&path, b"old").unwrap();
        let mut draft = Draft::of(&path).unwrap();
        draft.write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn file_of_another_run_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.addr");
        let ours = FileWhileRunning::write(path.clone(), "one".to_owned()).unwrap();
        let theirs = FileWhileRunning::write(path.clone(), "two".to_owned()).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
        assert!(!path.exists());
    }
}
