use tempfile::TempDir;

use super::{super::data_dir, *};
use crate::types::BlockRoot;

const MARKS: RecordKind = RecordKind::new("mark", 1);
const MARKS_LATER: RecordKind = RecordKind::new("mark", 2);
const OTHERS: RecordKind = RecordKind::new("mar", 1);

fn open(dir: &TempDir) -> RecordStore {
    let lock = data_dir::claim(dir.path(), BlockRoot::ZERO).unwrap();
    RecordStore::open(&Database::open(&dir.path().join("index"), lock).unwrap()).unwrap()
}

fn key(text: &str) -> RecordKey {
    RecordKey::new(text)
}

#[test]
fn keeps_records_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    state.put(MARKS, &key("b"), &2_u64).unwrap();
    state.put(MARKS, &key("a"), &1_u64).unwrap();
    state.put(MARKS, &key("b"), &3_u64).unwrap();
    state.put(MARKS, &key("c"), &4_u64).unwrap();
    state.put(OTHERS, &key("a"), &9_u64).unwrap();
    assert!(state.remove(MARKS, &key("c")).unwrap());
    assert!(!state.remove(MARKS, &key("c")).unwrap());
    state.flush().unwrap();
    drop(state);

    let state = open(&dir);
    assert_eq!(state.get::<u64>(MARKS, &key("b")).unwrap(), Some(3));
    assert_eq!(state.get::<u64>(MARKS, &key("c")).unwrap(), None);
    let listed: Vec<(RecordKey, u64)> = state
        .list(MARKS, 10)
        .unwrap()
        .into_iter()
        .map(|(key, body)| (key, body.unwrap()))
        .collect();
    assert_eq!(listed, [(key("a"), 1), (key("b"), 3)]);
    assert_eq!(state.list::<u64>(MARKS, 1).unwrap().len(), 1);
}

#[test]
fn reports_a_damaged_record_by_its_key_and_still_lists_the_others() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    for name in ["a", "b", "c"] {
        state.put(MARKS, &key(name), &1_u64).unwrap();
    }
    let at = path(MARKS, &key("b")).unwrap();
    let mut record = state.records.get(&at).unwrap().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    state.records.insert(at, record).unwrap();

    let refused = state.get::<u64>(MARKS, &key("b")).unwrap_err();
    assert!(matches!(
        &refused,
        RecordStoreError::BadRecord { source: RecordError::BadChecksum { .. }, key: named, .. }
            if *named == key("b")
    ));
    assert_eq!(refused.to_string(), "the mark record b fails its checks");
    let good = |listed: &Listed<u64>| listed.1.is_ok();
    let listed = state.list::<u64>(MARKS, 10).unwrap();
    assert_eq!(listed.iter().map(good).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn tells_the_records_of_a_later_release() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    state.put(MARKS_LATER, &key("a"), &1_u64).unwrap();
    assert!(matches!(
        state.get::<u64>(MARKS, &key("a")),
        Err(RecordStoreError::BadRecord {
            source: RecordError::FutureVersion { found: 2, known: 1 },
            ..
        })
    ));
}

#[test]
fn record_set_aside_is_no_longer_of_its_kind_and_kept_as_it_was() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let aside = RecordKind::new("mark-aside", 1);
    let long = RecordKey::new(vec![b'k'; KEY_BYTES_MAX + 1]);
    let from = [&MARKS.prefix(), long.as_bytes()].concat();
    for bytes in [b"nonsense".to_vec(), vec![7; 1 << 17], b"nonsense".to_vec()] {
        state.records.insert(&from, bytes).unwrap();
        assert!(state.set_aside(MARKS, &long, aside).unwrap());
        assert!(state.list::<u64>(MARKS, 10).unwrap().is_empty());
    }
    assert!(!state.set_aside(MARKS, &long, aside).unwrap());
    let kept = state.records.scan_prefix(aside.prefix()).values();
    let mut lengths: Vec<_> = kept.map(|value| value.unwrap().len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [8, 1 << 17], "two that differ are two, two that are equal are one");
}

#[test]
fn refuses_long_keys_and_bodies() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let long = RecordKey::new(vec![b'k'; KEY_BYTES_MAX + 1]);
    assert!(matches!(state.put(MARKS, &long, &1_u64), Err(RecordStoreError::LongKey { .. })));
    let body = vec![0_u8; 65 << 10];
    assert!(matches!(
        state.put(MARKS, &key("a"), &body),
        Err(RecordStoreError::BadRecord { source: RecordError::BadBody { .. }, .. })
    ));
    assert_eq!(state.get::<Vec<u8>>(MARKS, &key("a")).unwrap(), None);
}
