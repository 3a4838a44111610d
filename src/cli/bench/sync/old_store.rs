//! Where the old algorithm keeps blocks: one write a block and no wait for the disk, found by root.
//! The least that the database of today's node does; its log, tables and merging are left out.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use alys_sync::types::BlockRoot;

/// Blocks in a file, and where each one stands.
#[derive(Debug)]
pub(super) struct OldStore {
    file: File,
    /// Offset and length.
    places: BTreeMap<BlockRoot, (u64, usize)>,
    end: u64,
}

impl OldStore {
    /// A new store in the file at `path`, which must not exist.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Self { file, places: BTreeMap::new(), end: 0 })
    }

    /// Adds the block `root`.
    pub(super) fn put(&mut self, root: BlockRoot, encoded: &[u8]) -> io::Result<()> {
        self.file.write_all_at(encoded, self.end)?;
        self.places.insert(root, (self.end, encoded.len()));
        self.end += encoded.len() as u64;
        Ok(())
    }

    /// The block `root`, read now.
    pub(super) fn get(&self, root: &BlockRoot) -> io::Result<Option<Vec<u8>>> {
        let Some((offset, length)) = self.places.get(root) else { return Ok(None) };
        let mut encoded = vec![0; *length];
        self.file.read_exact_at(&mut encoded, *offset)?;
        Ok(Some(encoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = OldStore::create(&dir.path().join("blocks")).unwrap();
        let roots = [1, 2, 3].map(|byte| BlockRoot::new([byte; 32]));
        store.put(roots[0], b"one").unwrap();
        store.put(roots[1], b"block two").unwrap();
        let found = roots.map(|root| store.get(&root).unwrap());
        assert_eq!(found, [Some(b"one".to_vec()), Some(b"block two".to_vec()), None]);
    }
}
