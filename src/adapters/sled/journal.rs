//! Checkpoints and what is known of peers, as records in the database.

use super::{Listed, RecordKey, RecordKind, RecordStore, RecordStoreError, chain_error::damage_of};
use crate::{
    checkpoint::{Checkpoint, CheckpointKind},
    ports::{ChainError, Journal},
    reputation::{STORED_PEER_VERSION, StoredPeer},
    types::{Height, PeerId},
};

/// Checkpoints, under their height and kind. Version 1 had neither chain nor progress, and one a
/// height: such a record is told as of a past version and set aside.
const CHECKPOINTS: RecordKind = RecordKind::new("checkpoint", 2);

/// Records of checkpoints that are not to be trusted. Nothing reads them; they are kept for people.
const CHECKPOINTS_ASIDE: RecordKind = RecordKind::new("checkpoint-aside", 1);

/// Checkpoints read at once. Source: tens are kept, a hundred by hand besides. Too low: some are
/// not found. Too high: memory for a database that somebody else filled.
const CHECKPOINTS_MAX: usize = 65_536;

/// A checkpoint, if the record is whole and under its own key.
fn sound((key, found): &Listed<Checkpoint>) -> Result<Checkpoint, ChainError> {
    match found {
        Ok(checkpoint) if at(checkpoint.height, checkpoint.kind) == *key => Ok(checkpoint.clone()),
        Ok(checkpoint) => Err(ChainError::Corrupt(format!(
            "the checkpoint record {key} holds the {} checkpoint of height {}",
            checkpoint.kind, checkpoint.height
        ))),
        Err(error) => Err(damage_of(error)),
    }
}

impl RecordStore {
    fn listed_checkpoints(&self) -> Result<Vec<Listed<Checkpoint>>, RecordStoreError> {
        self.list(CHECKPOINTS, CHECKPOINTS_MAX)
    }

    fn set_aside_record(&self, key: &RecordKey) -> Result<bool, RecordStoreError> {
        RecordStore::set_aside(self, CHECKPOINTS, key, CHECKPOINTS_ASIDE)
    }
}

impl Journal for RecordStore {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        let key = at(checkpoint.height, checkpoint.kind);
        self.put(CHECKPOINTS, &key, checkpoint)?;
        self.flush()?;
        // Possibly from the database's memory: what the disk holds is checked when it is opened.
        let read = self.get::<Checkpoint>(CHECKPOINTS, &key)?;
        if read.as_ref() == Some(checkpoint) {
            return Ok(());
        }
        let height = checkpoint.height;
        Err(ChainError::Corrupt(format!("the checkpoint of height {height} reads back changed")))
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for listed in self.listed_checkpoints()? {
            match sound(&listed) {
                Ok(checkpoint) => good.push(checkpoint),
                Err(error) => bad.push(error),
            }
        }
        Ok((good, bad))
    }

    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError> {
        let there = self.remove(CHECKPOINTS, &at(height, kind))?;
        self.flush()?;
        Ok(there)
    }

    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError> {
        let mut damaged = Vec::new();
        for listed in self.listed_checkpoints()? {
            if let Err(error) = sound(&listed) {
                self.set_aside_record(&listed.0)?;
                damaged.push(error);
            }
        }
        if !damaged.is_empty() {
            self.flush()?;
        }
        Ok(damaged)
    }

    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError> {
        self.set_aside_record(&at(height, kind))?;
        Ok(self.flush()?)
    }

    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError> {
        for stored in changed {
            if let Some(peer) = stored.peer() {
                self.put(PEERS, &of(&peer), stored)?;
            }
        }
        for peer in forgotten {
            self.remove(PEERS, &of(peer))?;
        }
        Ok(self.flush()?)
    }

    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (key, found) in self.list::<StoredPeer>(PEERS, PEERS_MAX)? {
            match found {
                Ok(stored) if stored.peer().is_some_and(|peer| of(&peer) == key) => {
                    good.push(stored);
                }
                Ok(_) => bad.push(ChainError::Corrupt(format!(
                    "the record of peer {key} is that of another"
                ))),
                Err(error) => bad.push(error.into()),
            }
        }
        Ok((good, bad))
    }
}

/// What is known of a peer, under its peer id.
const PEERS: RecordKind = RecordKind::new("peer", STORED_PEER_VERSION);

/// Records of peers read at once. Source: a thousand are kept. Too low: bans are forgotten. Too
/// high: memory for a database that somebody else filled.
const PEERS_MAX: usize = 8_192;

/// Big-endian, so that the order of keys is the order of heights.
fn at(height: Height, kind: CheckpointKind) -> RecordKey {
    let kind = match kind {
        CheckpointKind::Periodic => 0,
        CheckpointKind::Manual => 1,
        CheckpointKind::Stop => 2,
    };
    let mut key = height.get().to_be_bytes().to_vec();
    key.push(kind);
    RecordKey::new(key)
}

fn of(peer: &PeerId) -> RecordKey {
    RecordKey::new(peer.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::{
        super::{data_dir, database::Database, record},
        *,
    };
    use crate::{
        adapters::conformance::{check_journal, checkpoint},
        types::BlockRoot,
    };

    fn open(dir: &TempDir) -> RecordStore {
        let lock = data_dir::claim(dir.path(), BlockRoot::ZERO).unwrap();
        RecordStore::open(&Database::open(&dir.path().join("index"), lock).unwrap()).unwrap()
    }

    #[test]
    fn the_journal_on_disk_keeps_the_contract_and_its_records() {
        let dir = TempDir::new().unwrap();
        check_journal(&open(&dir));
        let journal = open(&dir);
        let (kept, bad) = journal.checkpoints().unwrap();
        assert!(!kept.is_empty() && bad.is_empty());
    }

    /// What a record of a checkpoint at height 200 may be changed to, and how that is told.
    fn damages() -> Vec<(Vec<u8>, &'static str)> {
        let whole = record::encode(2, 4_096, &checkpoint(200)).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        vec![
            (b"nonsense".to_vec(), "not a record"),
            (Vec::new(), "not a record"),
            (whole[..whole.len() - 3].to_vec(), "length"),
            (flipped, "checksum"),
            (record::encode(3, 4_096, &checkpoint(200)).unwrap(), "newer"),
            (record::encode(1, 4_096, &7_u64).unwrap(), "older"),
            (record::encode(2, 4_096, &7_u64).unwrap(), "type"),
            (record::encode(2, 4_096, &checkpoint(400)).unwrap(), "height 400"),
        ]
    }

    #[test]
    fn damaged_checkpoints_are_skipped_told_and_set_aside_and_the_others_stay() {
        for (bytes, told) in damages() {
            let dir = TempDir::new().unwrap();
            let journal = open(&dir);
            for height in [100, 200, 300] {
                journal.put_checkpoint(&checkpoint(height)).unwrap();
            }
            let key = at(Height::new(200), CheckpointKind::Periodic);
            journal.put_raw(CHECKPOINTS, &key, &bytes);
            let others = [checkpoint(100), checkpoint(300)];
            let (good, bad) = journal.checkpoints().unwrap();
            assert_eq!((&good[..], bad.len()), (&others[..], 1), "{told}");
            let aside = journal.set_aside_damaged().unwrap();
            assert!(aside[0].to_string().contains(told), "{told}: {aside:?}");
            drop(journal);

            let journal = open(&dir);
            let (good, bad) = journal.checkpoints().unwrap();
            assert_eq!((&good[..], bad.len()), (&others[..], 0), "{told}");
            assert!(journal.set_aside_damaged().unwrap().is_empty());
            // Kept, as it was.
            assert_eq!(journal.raw(CHECKPOINTS_ASIDE), [bytes], "{told}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_changed_record_is_taken_for_a_checkpoint(
            at_byte in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            static JOURNAL: OnceLock<(RecordStore, TempDir)> = OnceLock::new();
            let (journal, _) = JOURNAL.get_or_init(|| {
                let dir = TempDir::new().unwrap();
                (open(&dir), dir)
            });
            let mut bytes = record::encode(2, 4_096, &checkpoint(200)).unwrap();
            let at_byte = at_byte.index(bytes.len());
            bytes[at_byte] ^= flip;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            journal.put_raw(CHECKPOINTS, &at(Height::new(200), CheckpointKind::Periodic), &bytes);
            let (good, bad) = journal.checkpoints().unwrap();
            prop_assert!(good.is_empty() && bad.len() == 1, "{good:?}");
            prop_assert_eq!(journal.set_aside_damaged().unwrap().len(), 1);
            prop_assert!(journal.checkpoints().unwrap().1.is_empty());
        }
    }
}
