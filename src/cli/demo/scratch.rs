//! The directory that a demo or a measurement works in.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::Ending;

/// Names tried for a directory of our own. Unit: names. Source: the name holds the process id and
/// the time, so a second try is rare. Higher: a directory that cannot be made is told late.
const NAMES_MAX: u32 = 16;

/// A directory to work in: the operator's, or one of our own that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    ours: bool,
}

/// A directory cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the directory {}", path.display())]
struct CannotMake {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl WorkDir {
    /// The directory `given`, made if it is missing, or a new one for temporary files.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, Ending> {
        let cannot = |path: &Path| {
            let path = path.to_owned();
            move |source| Ending::bad_input(CannotMake { path, source })
        };
        if let Some(path) = given {
            fs::create_dir_all(path).map_err(cannot(path))?;
            return Ok(Self { path: path.to_owned(), ours: false });
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base = std::env::temp_dir();
        let mut attempt = 0;
        loop {
            let name = format!("alys-sync-{}-{}", std::process::id(), time.as_nanos());
            let path = base.join(format!("{name}-{attempt}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, ours: true }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(cannot(&path)(error)),
            }
            if attempt == NAMES_MAX {
                return Err(cannot(&path)(io::ErrorKind::AlreadyExists.into()));
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(dir = %self.path.display(), %error, "a temporary directory is left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_of_our_own_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let given = base.path().join("a/b");
        drop(WorkDir::open(Some(&given)).unwrap());
        assert!(given.is_dir());
        let own = WorkDir::open(None).unwrap();
        let path = own.path().to_owned();
        fs::write(path.join("file"), b"x").unwrap();
        drop(own);
        assert!(!path.exists());
    }
}
