//! The store by failure mode.

mod recovery;

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    database::Database,
    record,
    segments::{HEADER_BYTES, RECORD_HEADER_BYTES},
    *,
};
use crate::{
    adapters::conformance::{SAMPLE_BLOCKS, assert_holds, check_contract, other_sample, sample},
    ports::{BlockSource, Chain, ChainError},
    types::Height,
};

/// Small files, so that a few blocks take several.
const SMALL: StoreOptions = StoreOptions { segment_bytes_max: 10_000 };

fn open(dir: &Path) -> ChainStore {
    ChainStore::open(dir, &sample().genesis, SMALL).unwrap()
}

fn refused(dir: &Path) -> OpenError {
    ChainStore::open(dir, &sample().genesis, SMALL).unwrap_err()
}

/// A closed store with the first `head` blocks.
fn stored(head: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    if head > 0 {
        store.append(sample().range(1..=head)).unwrap();
    }
    dir
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("blocks")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flip(file: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_store_on_disk_keeps_the_contract() {
    let base = TempDir::new().unwrap();
    let made = std::cell::Cell::new(0);
    check_contract(&|| {
        made.set(made.get() + 1);
        Box::new(open(&base.path().join(made.get().to_string())))
    });
}

#[test]
fn goes_on_from_the_head_after_a_restart() {
    let dir = stored(0);
    for (first, last) in [(1, 1), (2, 30), (31, 48)] {
        let store = open(dir.path());
        assert_holds(&store, u64::try_from(first).unwrap() - 1);
        store.append(sample().range(first..=last)).unwrap();
    }
    assert_holds(&open(dir.path()), SAMPLE_BLOCKS);
    assert!(segments(dir.path()).len() > 2);
}

#[test]
fn finds_blocks_by_root_until_they_are_truncated() {
    let dir = stored(20);
    let store = open(dir.path());
    for height in [0, 1, 7, 20] {
        assert_eq!(store.find(sample().at(height).root).unwrap(), Some(Height::new(height)));
    }
    assert_eq!(store.find(other_sample().at(3).root).unwrap(), None);
    store.truncate_to(Height::new(6)).unwrap();
    assert_eq!(store.find(sample().at(7).root).unwrap(), None);
    assert_eq!(store.find(sample().at(6).root).unwrap(), Some(Height::new(6)));
}

#[test]
fn truncation_survives_a_restart_and_frees_files() {
    let dir = stored(48);
    let before = segments(dir.path()).len();
    open(dir.path()).truncate_to(Height::new(3)).unwrap();
    assert!(segments(dir.path()).len() < before);
    let store = open(dir.path());
    assert_holds(&store, 3);
    store.append(sample().range(4..=48)).unwrap();
    assert_holds(&store, SAMPLE_BLOCKS);
    assert_eq!(segments(dir.path()).len(), before);
}

#[test]
fn cuts_bytes_after_the_last_committed_block() {
    for tail in
        [vec![0; 1], vec![0; 4096], vec![0xff; 100], sample().range(11..=11)[0].raw().to_vec()]
    {
        let dir = stored(10);
        let last = segments(dir.path()).pop().unwrap();
        let length = fs::metadata(&last).unwrap().len();
        fs::OpenOptions::new()
            .write(true)
            .open(&last)
            .unwrap()
            .write_all_at(&tail, length)
            .unwrap();
        let store = open(dir.path());
        assert_eq!(fs::metadata(&last).unwrap().len(), length);
        assert_holds(&store, 10);
        store.append(sample().range(11..=12)).unwrap();
        assert_holds(&store, 12);
    }
}

#[test]
fn a_death_between_bodies_and_index_keeps_the_whole_blocks() {
    let dir = stored(10);
    let store = open(dir.path());
    store.store_bodies_only(sample().range(11..=40));
    let whole = TempDir::new().unwrap();
    copy_dir(dir.path(), whole.path());
    assert_holds(&open(whole.path()), 40);
    assert_holds(&open(whole.path()), 40);

    let torn = TempDir::new().unwrap();
    copy_dir(dir.path(), torn.path());
    let last = segments(torn.path()).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(length - 1).unwrap();
    let store = open(torn.path());
    assert_holds(&store, 39);
    store.append(sample().range(40..=48)).unwrap();
    assert_holds(&store, SAMPLE_BLOCKS);

    // A hole in the middle: what lies behind it is whole, but no longer part of the chain.
    let holed = TempDir::new().unwrap();
    copy_dir(dir.path(), holed.path());
    flip(&segments(holed.path())[5], HEADER_BYTES + RECORD_HEADER_BYTES + 30);
    let store = open(holed.path());
    let head = store.head().height.get();
    assert!((10..40).contains(&head) && segments(holed.path()).len() <= 5, "{head}");
    assert_holds(&store, head);
}

#[test]
fn blocks_of_another_chain_behind_the_head_are_cut() {
    let dir = stored(10);
    open(dir.path()).store_bodies_only(other_sample().range(11..=20));
    assert_holds(&open(dir.path()), 10);
    open(dir.path()).store_bodies_only(sample().range(12..=20));
    assert_holds(&open(dir.path()), 10);
}

#[test]
fn a_death_between_lowering_the_head_and_cutting_finishes_the_truncation() {
    let dir = stored(40);
    let store = open(dir.path());
    let copy = TempDir::new().unwrap();
    store.lower_head_only(Height::new(8));
    copy_dir(dir.path(), copy.path());
    let store = open(copy.path());
    assert_holds(&store, 8);
    assert_eq!(store.find(sample().at(9).root).unwrap(), None);
    store.append(sample().range(9..=48)).unwrap();
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[test]
fn a_death_while_the_store_is_made_is_finished() {
    let dir = TempDir::new().unwrap();
    // Marked and with a half-written genesis block, but without an index.
    drop(data_dir::claim(dir.path(), sample().genesis.root()).unwrap());
    fs::create_dir(dir.path().join("blocks")).unwrap();
    fs::write(dir.path().join("blocks/00000001.seg"), b"ALYS-S").unwrap();
    assert_holds(&open(dir.path()), 0);
    assert_holds(&open(dir.path()), 0);
}

#[test]
fn a_lost_index_is_made_anew_from_the_blocks() {
    let dir = stored(48);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = open(dir.path());
    assert_holds(&store, SAMPLE_BLOCKS);
    assert_eq!(store.find(sample().at(30).root).unwrap(), Some(Height::new(30)));
    drop(store);

    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let genesis = &sample().genesis;
    let store = ChainStore::open_truncated(dir.path(), genesis, SMALL, Height::new(20)).unwrap();
    assert_holds(&store, 20);
}

#[test]
fn index_that_is_damaged_is_made_anew_on_request_and_kept_aside() {
    let dir = stored(48);
    let garbage = dir.path().join("index/conf");
    fs::write(&garbage, b"nothing of a database").unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::CorruptIndex { .. } | OpenError::Io { .. }), "{error:?}");
    let reindex = || ChainStore::open_reindexed(dir.path(), &sample().genesis, SMALL).unwrap();
    let (store, moved) = reindex();
    let kept = dir.path().join("quarantine/0001/index");
    assert_eq!(moved.as_ref(), Some(&kept));
    assert_eq!(fs::read(kept.join("conf")).unwrap(), b"nothing of a database");
    assert_holds(&store, SAMPLE_BLOCKS);
    drop(store);
    assert_holds(&open(dir.path()), SAMPLE_BLOCKS);
    // One that is whole is made anew as well.
    let (store, moved) = reindex();
    assert_eq!(moved, Some(dir.path().join("quarantine/0002/index")));
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[test]
fn good_blocks_behind_a_damaged_one_are_set_aside_when_the_index_is_made_anew() {
    for by_hand in [true, false] {
        let dir = stored(48);
        let files = segments(dir.path());
        let bytes = |files: &[PathBuf]| -> u64 {
            files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
        };
        let before = bytes(&files);
        flip(&files[1], HEADER_BYTES + RECORD_HEADER_BYTES + 30);
        let store = if by_hand {
            fs::remove_dir_all(dir.path().join("index")).unwrap();
            open(dir.path())
        } else {
            ChainStore::open_reindexed(dir.path(), &sample().genesis, SMALL).unwrap().0
        };
        let head = store.head().height;
        assert!(head > Height::new(0) && head < Height::new(SAMPLE_BLOCKS), "{head}");
        let quarantines = fs::read_dir(dir.path().join("quarantine")).unwrap();
        let of_blocks =
            quarantines.map(|dir| dir.unwrap().path()).find(|dir| !dir.join("index").exists());
        let kept: Vec<_> =
            fs::read_dir(of_blocks.unwrap()).unwrap().map(|file| file.unwrap().path()).collect();
        let headers = HEADER_BYTES * files.len() as u64;
        let all = bytes(&kept) + bytes(&segments(dir.path()));
        assert!(all + headers >= before && all <= before + headers, "{all} of {before}");
        // The rest can be downloaded.
        let next = usize::try_from(head.get()).unwrap() + 1;
        store.append(sample().range(next..=48)).unwrap();
        assert_holds(&store, SAMPLE_BLOCKS);
    }
}

#[test]
fn blocks_that_begin_otherwise_keep_their_index() {
    let dir = stored(10);
    let first = &segments(dir.path())[0];
    flip(first, HEADER_BYTES + RECORD_HEADER_BYTES + 30);
    let refused = ChainStore::open_reindexed(dir.path(), &sample().genesis, SMALL).unwrap_err();
    assert!(matches!(refused, OpenError::CorruptSegments { .. }), "{refused:?}");
    assert!(dir.path().join("index/db").exists());
    assert!(!dir.path().join("quarantine").exists());
}

#[test]
fn blocks_without_index_and_genesis_are_not_taken_for_a_new_store() {
    let dir = stored(10);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let first = &segments(dir.path())[0];
    flip(first, HEADER_BYTES + RECORD_HEADER_BYTES + 30);
    let before = fs::metadata(first).unwrap().len();
    assert!(matches!(
        refused(dir.path()),
        OpenError::CorruptSegments { source: SegmentError::Leftover { .. }, .. }
    ));
    assert_eq!(fs::metadata(first).unwrap().len(), before);
}

#[test]
fn damage_of_the_database_file_never_costs_a_block() {
    let dir = stored(48);
    let length = fs::metadata(dir.path().join("index/db")).unwrap().len();
    for part in 0..16 {
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        flip(&copy.path().join("index/db"), length * part / 16);
        match ChainStore::open(copy.path(), &sample().genesis, SMALL) {
            Ok(store) => assert_holds(&store, SAMPLE_BLOCKS),
            Err(OpenError::CorruptIndex { dir: index, .. }) => {
                fs::remove_dir_all(index).unwrap();
                assert_holds(&open(copy.path()), SAMPLE_BLOCKS);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_damaged_head_is_reported_with_the_way_out() {
    let dir = stored(10);
    let last = segments(dir.path()).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    flip(&last, length - 1);
    let error = refused(dir.path());
    let OpenError::CorruptBlock { height, file, good, damage } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((height.get(), file, good.unwrap().get()), (10, &last, 9));
    assert!(matches!(**damage, BlockDamage::Record(SegmentError::BadChecksum { .. })));
    assert!(error.to_string().contains("truncate the chain to 9"), "{error}");
    // Nothing was cut: the refusal repeats, and so would the advice.
    assert_eq!(fs::metadata(&last).unwrap().len(), length);
    assert!(matches!(refused(dir.path()), OpenError::CorruptBlock { .. }));

    let genesis = &sample().genesis;
    let store = ChainStore::open_truncated(dir.path(), genesis, SMALL, Height::new(9)).unwrap();
    assert_holds(&store, 9);
    store.append(sample().range(10..=11)).unwrap();
    drop(store);
    assert_holds(&open(dir.path()), 11);
}

#[test]
fn a_body_file_that_lost_its_end_is_reported() {
    let dir = stored(10);
    let last = segments(dir.path()).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(length - 1).unwrap();
    let damage = || {
        let OpenError::CorruptBlock { damage, .. } = refused(dir.path()) else { panic!() };
        *damage
    };
    assert!(matches!(damage(), BlockDamage::Record(SegmentError::Cut { .. })));
    fs::remove_file(&last).unwrap();
    assert!(matches!(damage(), BlockDamage::Record(SegmentError::Missing { .. })));
}

#[test]
fn opening_truncated_refuses_heights_that_are_not_stored() {
    let dir = stored(10);
    let genesis = &sample().genesis;
    assert!(matches!(
        ChainStore::open_truncated(dir.path(), genesis, SMALL, Height::new(11)),
        Err(OpenError::OutOfRange { .. })
    ));
    assert_holds(&open(dir.path()), 10);
}

#[test]
fn a_damaged_body_is_never_served_and_the_others_are() {
    let dir = stored(10);
    flip(&segments(dir.path())[0], HEADER_BYTES + RECORD_HEADER_BYTES + 30);
    let store = open(dir.path());
    assert!(matches!(
        store.read(Height::GENESIS, 5, usize::MAX),
        Err(ChainError::Corrupt(text)) if text.contains("00000001.seg")
    ));
    assert!(matches!(store.truncate_to(Height::GENESIS), Err(ChainError::Corrupt(_))));
    assert_eq!(store.read(Height::new(1), 5, usize::MAX).unwrap().len(), 5);
    assert_eq!(store.append(sample().range(11..=11)).unwrap(), sample().at(11));
}

#[test]
fn a_failed_write_closes_the_store_to_writes_until_it_is_opened_again() {
    let dir = stored(10);
    let store = open(dir.path());
    let next = segments(dir.path()).len() + 1;
    let obstacle = dir.path().join(format!("blocks/{next:08}.seg"));
    fs::create_dir(&obstacle).unwrap();
    let error = store.append(sample().range(11..=48)).unwrap_err();
    assert!(matches!(&error, ChainError::Io { action, .. } if action.contains("creating")));
    assert!(matches!(store.append(sample().range(11..=11)), Err(ChainError::Poisoned)));
    assert!(matches!(store.truncate_to(Height::new(3)), Err(ChainError::Poisoned)));
    assert!(matches!(store.tip(), Err(ChainError::Poisoned)));
    assert_eq!(store.head(), sample().at(10));
    assert_eq!(store.read(Height::GENESIS, 20, usize::MAX).unwrap().len(), 11);
    drop(store);

    fs::remove_dir(&obstacle).unwrap();
    // The bodies that came before the failure are whole, and are taken in.
    let store = open(dir.path());
    let head = store.head().height.get();
    assert!((11..48).contains(&head), "{head}");
    assert_holds(&store, head);
    store.append(sample().range(usize::try_from(head).unwrap() + 1..=48)).unwrap();
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[test]
fn one_directory_serves_one_store_of_one_chain() {
    let dir = stored(3);
    let store = open(dir.path());
    assert!(matches!(refused(dir.path()), OpenError::Locked { .. }));
    let records = store.records().unwrap();
    drop(store);
    // Whoever still holds the records holds the directory.
    assert!(matches!(refused(dir.path()), OpenError::Locked { .. }));
    drop(records);
    assert!(matches!(
        ChainStore::open(dir.path(), &other_sample().genesis, SMALL),
        Err(OpenError::OtherChain { .. })
    ));
    assert_holds(&open(dir.path()), 3);
}

#[test]
fn a_marker_moved_to_another_chain_is_noticed() {
    let (ours, other) = (stored(3), TempDir::new().unwrap());
    drop(ChainStore::open(other.path(), &other_sample().genesis, SMALL).unwrap());
    fs::copy(ours.path().join("alys-sync.json"), other.path().join("alys-sync.json")).unwrap();
    assert!(matches!(refused(other.path()), OpenError::OtherChain { .. }));
}

#[test]
fn a_damaged_head_record_is_reported() {
    let dir = stored(3);
    let future = record::encode(9, 1024, &sample().at(3)).unwrap();
    for (bytes, version) in [(b"nonsense".to_vec(), false), (future, true)] {
        let lock = data_dir::claim(dir.path(), sample().genesis.root()).unwrap();
        let database = Database::open(&dir.path().join("index"), lock).unwrap();
        database.tree("state").unwrap().insert("head", bytes).unwrap();
        database.make_durable().unwrap();
        drop(database);
        let OpenError::CorruptIndex { source, .. } = refused(dir.path()) else { panic!() };
        let IndexError::BadRecord { name: "head", source } = source else { panic!("{source:?}") };
        assert_eq!(matches!(source, RecordError::FutureVersion { .. }), version);
    }
}

#[test]
fn readers_see_whole_blocks_while_the_chain_is_cut_and_regrown() {
    let dir = stored(48);
    let store = open(dir.path());
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (store, done) = (store.clone(), Arc::clone(&done));
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let read = store.read(Height::new(1), 48, usize::MAX).unwrap();
                    let expected = sample().blocks.iter().map(|block| block.raw());
                    assert!(read.iter().zip(expected).all(|(read, block)| read == block));
                }
            });
        }
        for cut in [40, 3, 20, 0, 47] {
            store.truncate_to(Height::new(cut)).unwrap();
            let next = usize::try_from(cut).unwrap() + 1;
            store.append(sample().range(next..=48)).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_holds(&store, SAMPLE_BLOCKS);
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Truncate(prop::sample::Index),
    Reopen,
    Tear(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_usize).prop_map(Step::Append),
        2 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        1 => Just(Step::Reopen),
        1 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Step::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn behaves_like_a_list_of_blocks(
        steps in prop::collection::vec(step(), 1..12),
        segment_bytes_max in 100_u64..40_000,
    ) {
        let dir = TempDir::new().unwrap();
        let options = StoreOptions { segment_bytes_max };
        let reopen = || ChainStore::open(dir.path(), &sample().genesis, options).unwrap();
        let mut store = reopen();
        let mut head = 0_usize;
        for step in steps {
            match step {
                Step::Append(count) => {
                    let last = (head + count).min(sample().blocks.len());
                    store.append(&sample().blocks[head..last]).unwrap();
                    head = last;
                }
                Step::Truncate(to) => {
                    head = to.index(head + 1);
                    store.truncate_to(Height::new(u64::try_from(head).unwrap())).unwrap();
                }
                Step::Reopen => {
                    drop(store);
                    store = reopen();
                }
                Step::Tear(tail) => {
                    drop(store);
                    let last = segments(dir.path()).pop().unwrap();
                    let end = fs::metadata(&last).unwrap().len();
                    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
                    file.write_all_at(&tail, end).unwrap();
                    store = reopen();
                }
            }
            assert_holds(&store, u64::try_from(head).unwrap());
        }
    }
}
