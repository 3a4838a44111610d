use std::{fs, os::unix::fs::FileExt};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const BLOCK_MAX: u32 = 1000;

fn limits(segment_bytes_max: u64) -> SegmentLimits {
    SegmentLimits { block_bytes_max: BLOCK_MAX, segment_bytes_max }
}

fn append(writer: &mut SegmentWriter, blocks: &[Vec<u8>]) -> Vec<Location> {
    let locations = writer.append(blocks.iter().map(Vec::as_slice)).unwrap();
    writer.sync().unwrap();
    locations
}

fn store_of(blocks: &[Vec<u8>], segment_bytes_max: u64) -> (TempDir, SegmentWriter, Vec<Location>) {
    let dir = TempDir::new().unwrap();
    let mut writer =
        SegmentWriter::create(dir.path().into(), limits(segment_bytes_max), 0).unwrap();
    let locations = append(&mut writer, blocks);
    (dir, writer, locations)
}

fn reader(dir: &TempDir) -> SegmentReader {
    SegmentReader::new(dir.path().into(), BLOCK_MAX)
}

fn some_blocks() -> Vec<Vec<u8>> {
    (1..=40_u8).map(|n| vec![n; usize::from(n) * 3]).collect()
}

#[test]
fn returns_blocks_across_files_as_they_were_appended() {
    let blocks = some_blocks();
    let (dir, writer, locations) = store_of(&blocks, 400);
    assert!(locations.last().unwrap().segment > 5);
    assert_eq!(reader(&dir).read(&locations).unwrap(), blocks);
    for (location, block) in locations.iter().zip(&blocks) {
        assert_eq!(reader(&dir).read(&[*location]).unwrap()[0], block);
        assert!(location.end() <= 400);
    }
    drop(writer);
}

#[test]
fn stores_a_block_that_is_longer_than_a_file_may_be() {
    let (dir, _writer, locations) = store_of(&[vec![1; 900], vec![2; 900]], 100);
    assert_eq!((locations[0].segment, locations[1].segment), (1, 2));
    assert_eq!(reader(&dir).read(&locations).unwrap(), [vec![1; 900], vec![2; 900]]);
}

#[test]
fn keeps_few_files_open() {
    let blocks: Vec<_> = (0..200_u8).map(|n| vec![n; 90]).collect();
    let (dir, _writer, locations) = store_of(&blocks, 100);
    let reader = reader(&dir);
    for _ in 0..2 {
        assert_eq!(reader.read(&locations).unwrap(), blocks);
    }
    let name = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.unwrap().path()).ok();
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(name);
    let ours = open.filter(|path| path.starts_with(dir.path())).count();
    assert!(ours <= 18, "{ours} files open");
}

#[test]
fn refuses_empty_and_oversized_blocks_before_writing() {
    let (_dir, mut writer, _) = store_of(&[vec![1; 5]], 400);
    let end = writer.append([[7_u8; 5].as_slice()].into_iter()).unwrap()[0].end();
    for bad in [vec![], vec![1; 1001]] {
        let batch = [vec![1; 9], bad];
        let refused = writer.append(batch.iter().map(Vec::as_slice));
        assert!(matches!(refused, Err(SegmentError::Unstorable { max: BLOCK_MAX, .. })));
    }
    let next = writer.append([[8_u8; 5].as_slice()].into_iter()).unwrap();
    assert_eq!(next[0].offset, end);
}

#[test]
fn cuts_what_lies_behind_the_last_record_that_counts() {
    let blocks = some_blocks();
    let (dir, writer, locations) = store_of(&blocks, 400);
    drop(writer);
    let keep = 12;
    let (mut writer, cut) =
        SegmentWriter::open(dir.path().into(), limits(400), &locations[keep - 1]).unwrap();
    assert!(cut > 0);
    let files = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(files, usize::try_from(locations[keep - 1].segment).unwrap());
    let again = append(&mut writer, &blocks[keep..]);
    let all = [&locations[..keep], &again].concat();
    assert_eq!(all, locations);
    assert_eq!(reader(&dir).read(&all).unwrap(), blocks);
}

#[test]
fn cutting_at_the_end_of_a_file_removes_the_following_ones() {
    let (dir, mut writer, locations) = store_of(&vec![vec![3; 90]; 4], 100);
    let cut = writer.cut_to(&locations[1]).unwrap();
    assert_eq!(cut, 2 * (HEADER_BYTES + RECORD_HEADER_BYTES + 90));
    assert!(matches!(
        reader(&dir).read(&[locations[2]]),
        Err(SegmentError::Missing { file }) if file.ends_with("00000003.seg")
    ));
    assert_eq!(append(&mut writer, &[vec![4; 90]])[0], locations[2]);
}

#[test]
fn reports_a_file_that_is_shorter_than_its_records() {
    let (dir, writer, locations) = store_of(&some_blocks(), 1 << 20);
    drop(writer);
    let last = *locations.last().unwrap();
    let path = dir.path().join("00000001.seg");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(last.end() - 1).unwrap();
    assert!(matches!(reader(&dir).read(&[last]), Err(SegmentError::Cut { end, .. })
        if end == last.end()));
    assert!(matches!(
        SegmentWriter::open(dir.path().into(), limits(400), &last),
        Err(SegmentError::Cut { .. })
    ));
    assert_eq!(fs::metadata(&path).unwrap().len(), last.end() - 1);
}

#[test]
fn reports_a_changed_block_and_still_reads_the_others() {
    let blocks = some_blocks();
    let (dir, _writer, locations) = store_of(&blocks, 1 << 20);
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("00000001.seg")).unwrap();
    file.write_all_at(&[0xff], locations[7].offset + RECORD_HEADER_BYTES + 2).unwrap();
    let reader = reader(&dir);
    assert!(matches!(
        reader.read(&locations),
        Err(SegmentError::BadChecksum { offset, .. }) if offset == locations[7].offset
    ));
    assert_eq!(reader.read(&locations[8..]).unwrap(), blocks[8..]);
}

#[test]
fn reports_a_length_that_differs_from_the_index() {
    let (dir, _writer, locations) = store_of(&some_blocks(), 1 << 20);
    let wrong = Location { length: locations[3].length - 1, ..locations[3] };
    assert!(matches!(
        reader(&dir).read(&[wrong]),
        Err(SegmentError::BadLength { found, .. }) if found == locations[3].length
    ));
    let huge = Location { length: u32::MAX, ..locations[3] };
    assert!(matches!(reader(&dir).read(&[huge]), Err(SegmentError::Unstorable { .. })));
    let far = Location { offset: u64::MAX, ..locations[3] };
    assert!(matches!(reader(&dir).read(&[far]), Err(SegmentError::Cut { .. })));
}

#[test]
fn refuses_foreign_renumbered_and_newer_files() {
    let (dir, writer, locations) = store_of(&vec![vec![3; 90]; 2], 100);
    drop(writer);
    let file = |name: &str| dir.path().join(name);
    fs::copy(file("00000001.seg"), file("00000002.seg")).unwrap();
    assert!(matches!(reader(&dir).read(&[locations[1]]), Err(SegmentError::BadHeader { .. })));

    let first = fs::OpenOptions::new().write(true).open(file("00000001.seg")).unwrap();
    first.write_all_at(&[9], 8).unwrap();
    assert!(matches!(
        reader(&dir).read(&[locations[0]]),
        Err(SegmentError::OtherVersion { found: 9, known: 1, .. })
    ));
    fs::write(file("00000001.seg"), b"short").unwrap();
    assert!(matches!(reader(&dir).read(&[locations[0]]), Err(SegmentError::BadHeader { .. })));
}

#[test]
fn creation_replaces_its_own_leftovers_only() {
    let (dir, writer, locations) = store_of(&[vec![1; 50]], 400);
    drop(writer);
    let length = locations[0].end();
    assert!(matches!(
        SegmentWriter::create(dir.path().into(), limits(400), length - 1),
        Err(SegmentError::Leftover { .. })
    ));
    drop(SegmentWriter::create(dir.path().into(), limits(400), length).unwrap());
    fs::write(dir.path().join("00000002.seg"), b"").unwrap();
    assert!(matches!(
        SegmentWriter::create(dir.path().into(), limits(400), length),
        Err(SegmentError::Leftover { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batches_read_back(
        batches in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..6),
            0..8,
        ),
        segment_bytes_max in 20_u64..2000,
    ) {
        let (dir, mut writer, mut locations) = store_of(&[], segment_bytes_max);
        for batch in &batches {
            locations.extend(append(&mut writer, batch));
        }
        prop_assert_eq!(reader(&dir).read(&locations).unwrap(), batches.concat());
    }
}
