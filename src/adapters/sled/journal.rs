//! Checkpoints and what is known of peers, as records in the database.

use super::{RecordKey, RecordKind, RecordStore};
use crate::{
    checkpoint::Checkpoint,
    ports::{ChainError, Journal},
    reputation::StoredPeer,
    types::{Height, PeerId},
};

/// Checkpoints, under their height.
const CHECKPOINTS: RecordKind = RecordKind::new("checkpoint", 1);

/// Checkpoints read at once. Source: tens are kept, manual ones besides. Too low: some are not
/// found. Too high: memory for a database that somebody else filled.
const CHECKPOINTS_MAX: usize = 65_536;

impl Journal for RecordStore {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        self.put(CHECKPOINTS, &at(checkpoint.height), checkpoint)?;
        Ok(self.flush()?)
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (key, found) in self.list::<Checkpoint>(CHECKPOINTS, CHECKPOINTS_MAX)? {
            match found {
                Ok(checkpoint) if at(checkpoint.height) == key => good.push(checkpoint),
                Ok(checkpoint) => bad.push(ChainError::Corrupt(format!(
                    "the checkpoint record {key} holds the checkpoint of height {}",
                    checkpoint.height
                ))),
                Err(error) => bad.push(error.into()),
            }
        }
        Ok((good, bad))
    }

    fn remove_checkpoint(&self, height: Height) -> Result<(), ChainError> {
        self.remove(CHECKPOINTS, &at(height))?;
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
const PEERS: RecordKind = RecordKind::new("peer", 1);

/// Records of peers read at once. Source: a thousand are kept. Too low: bans are forgotten. Too
/// high: memory for a database that somebody else filled.
const PEERS_MAX: usize = 8_192;

/// Big-endian, so that the order of keys is the order of heights.
fn at(height: Height) -> RecordKey {
    RecordKey::new(height.get().to_be_bytes())
}

fn of(peer: &PeerId) -> RecordKey {
    RecordKey::new(peer.to_bytes())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{
        super::{data_dir, database::Database},
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

    #[test]
    fn names_bad_checkpoints_and_returns_the_others() {
        let dir = TempDir::new().unwrap();
        let journal = open(&dir);
        for height in [100, 200, 300] {
            journal.put_checkpoint(&checkpoint(height)).unwrap();
        }
        journal.put(CHECKPOINTS, &at(Height::new(200)), &7_u64).unwrap();
        journal.put(CHECKPOINTS, &at(Height::new(300)), &checkpoint(400)).unwrap();
        let (good, bad) = journal.checkpoints().unwrap();
        assert_eq!(good, [checkpoint(100)]);
        assert_eq!(bad.len(), 2);
        assert!(bad.iter().all(|error| matches!(error, ChainError::Corrupt(_))), "{bad:?}");
    }
}
