//! The node's key on disk, so that its peer id stays the same across restarts.
//!
//! The file holds the libp2p protobuf encoding of one Ed25519 key pair and nothing else. It is
//! made with mode 0600, whole or not at all; an unreadable or foreign file is an error, never a
//! reason to make another key silently.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use libp2p::identity::{KeyType, Keypair};

/// Longest key file that is read. Unit: bytes. An Ed25519 key takes 68. Lower would refuse real
/// keys; higher only reads more of a file that is no key.
const FILE_BYTES_MAX: u64 = 1024;

/// Why there is no node key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file exists but cannot be read.
    #[error("cannot read the node key {}", path.display())]
    Read {
        /// The key file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file does not exist and cannot be made.
    #[error("cannot create the node key {}", path.display())]
    Create {
        /// The key file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file holds no key.
    #[error("{} holds no node key in libp2p protobuf encoding", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// The file holds a key of another kind.
    #[error("the node key {} is not of kind Ed25519", path.display())]
    WrongKind {
        /// The key file.
        path: PathBuf,
    },
}

/// The key in the file at `path`; if there is no such file, a new key that is there from now on.
///
/// Blocks on disk. Two processes that start at once end up with the same key.
///
/// # Errors
/// Every variant of [`KeyError`]. The file is never overwritten.
pub fn load_or_create(path: &Path) -> Result<Keypair, KeyError> {
    match File::open(path) {
        Ok(file) => load(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(source) => Err(KeyError::Read { path: path.to_owned(), source }),
    }
}

fn load(path: &Path, file: File) -> Result<Keypair, KeyError> {
    let mut encoded = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut encoded)
        .map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    let key = Keypair::from_protobuf_encoding(&encoded)
        .map_err(|_| KeyError::Malformed { path: path.to_owned() })?;
    if key.key_type() != KeyType::Ed25519 {
        return Err(KeyError::WrongKind { path: path.to_owned() });
    }
    Ok(key)
}

fn create(path: &Path) -> Result<Keypair, KeyError> {
    let failed = |source| KeyError::Create { path: path.to_owned(), source };
    let key = Keypair::generate_ed25519();
    let encoded = key.to_protobuf_encoding().expect("an Ed25519 key has a protobuf encoding");
    let draft = draft_path(path, &key);
    let written = write_draft(&draft, &encoded);
    // A link, unlike a rename, fails where a file exists: a key made meanwhile by another process
    // stays, and is the one to use.
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    // The draft is of no use any more; whether it could be removed changes nothing.
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            sync_directory(path).map_err(failed)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = File::open(path)
                .map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
            load(path, file)
        }
        Err(source) => Err(failed(source)),
    }
}

/// A name beside the key file that no other process chooses: it ends in the new key's peer id.
fn draft_path(path: &Path, key: &Keypair) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", key.public().to_peer_id()));
    path.with_file_name(name)
}

fn write_draft(draft: &Path, encoded: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    file.write_all(encoded)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_path(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("node.key")
    }

    #[test]
    fn keeps_the_peer_id_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(&key_path(&dir)).unwrap();
        let second = load_or_create(&key_path(&dir)).unwrap();
        assert_eq!(first.public().to_peer_id(), second.public().to_peer_id());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft stays behind");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        load_or_create(&key_path(&dir)).unwrap();
        let mode = fs::metadata(key_path(&dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn refuses_a_file_that_is_no_key_and_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        for bad in [&b""[..], b"not a key", &[0; 5000]] {
            fs::write(key_path(&dir), bad).unwrap();
            let error = load_or_create(&key_path(&dir)).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
            assert_eq!(fs::read(key_path(&dir)).unwrap(), bad);
        }
    }

    #[test]
    fn names_the_file_that_cannot_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("node.key");
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyError::Create { .. }), "{error}");
        assert!(error.to_string().contains("missing"));
    }

    #[test]
    fn threads_that_start_at_once_share_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = key_path(&dir);
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_create(&path).unwrap().public().to_peer_id()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| id == &ids[0]));
    }
}
