//! What a store whose head is damaged goes on from.

use std::time::Duration;

use super::*;
use crate::{
    adapters::sled::index::Index,
    checkpoint::{CheckpointKind, RecoveredBy, Recovery, make},
};

fn recovered(dir: &Path) -> (ChainStore, Option<Recovery>) {
    ChainStore::open_recovering(dir, &sample().genesis, SMALL).unwrap()
}

fn h(number: u64) -> Height {
    Height::new(number)
}

/// A closed store of 48 blocks with a checkpoint at each of `heights`.
fn with_checkpoints(heights: &[u64]) -> TempDir {
    let dir = stored(48);
    let store = open(dir.path());
    let journal = store.records().unwrap();
    for height in heights {
        let what = (h(*height), CheckpointKind::Periodic);
        make(&store, &journal, what, Duration::ZERO, None).unwrap();
    }
    dir
}

/// Changes the database of a closed store.
fn in_database(dir: &Path, change: impl FnOnce(&Arc<Database>)) {
    let lock = data_dir::claim(dir, sample().genesis.root()).unwrap();
    let database = Database::open(&dir.join("index"), lock).unwrap();
    change(&database);
    database.make_durable().unwrap();
}

/// The bytes of every file in the quarantines, by name.
fn quarantined(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(dirs) = fs::read_dir(dir.join("quarantine")) else { return Vec::new() };
    let files = dirs.flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap());
    let mut files: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The files after the `keep` first ones, overwritten from the start.
fn destroy_after(dir: &Path, keep: usize) -> Vec<PathBuf> {
    let files = segments(dir).split_off(keep);
    for file in &files {
        let length = usize::try_from(fs::metadata(file).unwrap().len()).unwrap();
        fs::write(file, vec![0xa5; length]).unwrap();
    }
    files
}

#[test]
fn whole_store_is_opened_as_ever() {
    let dir = with_checkpoints(&[20]);
    let (store, recovery) = recovered(dir.path());
    assert_eq!(recovery, None);
    assert_holds(&store, SAMPLE_BLOCKS);
    assert!(!dir.path().join("quarantine").exists());
}

#[test]
fn damaged_head_costs_the_damaged_block_alone_and_is_kept_in_quarantine() {
    let dir = stored(48);
    let last = segments(dir.path()).pop().unwrap();
    let end = fs::metadata(&last).unwrap().len();
    flip(&last, end - 1);
    let (store, recovery) = recovered(dir.path());
    let recovery = recovery.unwrap();
    assert_eq!((recovery.from, recovery.to), (h(48), sample().at(47)));
    assert_eq!(recovery.by, RecoveredBy::NearBlock);
    assert!(recovery.damage.contains("checksum"), "{recovery:?}");
    assert_holds(&store, 47);
    store.append(sample().range(48..=48)).unwrap();
    assert_holds(&store, SAMPLE_BLOCKS);
    let body = sample().range(48..=48)[0].raw();
    let kept = quarantined(dir.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    let (name, bytes) = &kept[0];
    assert!(name.contains(".from-"), "{name}");
    assert_eq!(bytes[8..bytes.len() - 1], body[..body.len() - 1]);
    let quarantine = recovery.quarantine.unwrap();
    assert_eq!((quarantine.bytes_kept, quarantine.bytes_dropped), (bytes.len() as u64, 0));
    drop(store);
    let (store, recovery) = recovered(dir.path());
    assert_eq!(recovery, None);
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[test]
fn damaged_entries_of_whole_blocks_cost_nothing() {
    let dir = stored(48);
    in_database(dir.path(), |database| {
        let heights = database.tree("heights").unwrap();
        for height in 40..=48_u64 {
            heights.insert(height.to_be_bytes(), b"nonsense".to_vec()).unwrap();
        }
    });
    assert!(matches!(refused(dir.path()), OpenError::CorruptBlock { .. }));
    let (store, recovery) = recovered(dir.path());
    let recovery = recovery.unwrap();
    assert_eq!((recovery.from, recovery.to), (h(48), sample().at(48)));
    assert_eq!(recovery.quarantine, None);
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[test]
fn lost_record_of_the_head_costs_nothing() {
    for record in [None, Some(b"nonsense".to_vec())] {
        let dir = stored(48);
        in_database(dir.path(), |database| {
            let state = database.tree("state").unwrap();
            match &record {
                None => drop(state.remove("head").unwrap()),
                Some(record) => drop(state.insert("head", record.clone()).unwrap()),
            }
        });
        assert!(matches!(refused(dir.path()), OpenError::CorruptIndex { .. }));
        let (store, recovery) = recovered(dir.path());
        assert_eq!(recovery.unwrap().to, sample().at(48));
        assert_holds(&store, SAMPLE_BLOCKS);
    }
}

#[test]
fn head_record_of_a_later_release_is_refused_and_left_alone() {
    let dir = stored(3);
    let future = record::encode(9, 1024, &sample().at(3)).unwrap();
    in_database(dir.path(), |database| {
        database.tree("state").unwrap().insert("head", future).unwrap();
    });
    let refused = ChainStore::open_recovering(dir.path(), &sample().genesis, SMALL);
    assert!(matches!(refused, Err(OpenError::CorruptIndex { .. })), "{refused:?}");
}

#[test]
fn files_behind_a_hole_go_to_the_quarantine_and_are_in_nobodys_way() {
    let dir = stored(48);
    let files = segments(dir.path());
    fs::remove_file(&files[3]).unwrap();
    destroy_after(dir.path(), files.len() - 2);
    let (store, recovery) = recovered(dir.path());
    let recovery = recovery.unwrap();
    let head = store.head().height.get();
    assert_eq!(recovery.to, sample().at(head));
    // What is whole near below the head lies behind the hole, and is gone on from.
    assert!(head > 20, "{recovery:?}");
    drop(store);

    let dir = stored(48);
    let files = segments(dir.path());
    let lost = files.len() - 3;
    destroy_after(dir.path(), 3);
    fs::remove_file(&files[4]).unwrap();
    let (store, recovery) = recovered(dir.path());
    let head = usize::try_from(store.head().height.get()).unwrap();
    assert_eq!(quarantined(dir.path()).len(), lost - 1, "{recovery:?}");
    assert_eq!(segments(dir.path()).len(), 3);
    // The names are free again.
    store.append(sample().range(head + 1..=48)).unwrap();
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[test]
fn recovery_that_was_cut_short_is_finished_by_the_next_opening_of_any_kind() {
    let dir = stored(48);
    let last = segments(dir.path()).pop().unwrap();
    let end = fs::metadata(&last).unwrap().len();
    flip(&last, end - 1);
    in_database(dir.path(), |database| {
        let index = Index::open(Arc::clone(database)).unwrap();
        index.begin_recovery(sample().at(47)).unwrap();
    });
    assert_holds(&open(dir.path()), 47);
    assert_eq!(quarantined(dir.path()).len(), 1);
}

#[test]
fn nothing_whole_is_refused_with_what_to_do_and_nothing_changed() {
    let dir = with_checkpoints(&[20]);
    let files = destroy_after(dir.path(), 0);
    let before: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let refused = ChainStore::open_recovering(dir.path(), &sample().genesis, SMALL).unwrap_err();
    assert!(refused.to_string().contains("sync again"), "{refused}");
    let after: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before == after && !dir.path().join("quarantine").exists());
}
