use std::fs;

use super::*;
use crate::{
    consensus::generate::{GenerateOptions, GeneratedChain, generate},
    wire::chain_file::ChainFileWriter,
};

fn chain(blocks: u64) -> GeneratedChain {
    generate(GenerateOptions { blocks, ..GenerateOptions::default() }).unwrap()
}

fn blocks(chain: &GeneratedChain) -> Vec<Bytes> {
    let above = chain.blocks().map(|block| block.raw().clone());
    std::iter::once(chain.genesis().raw().clone()).chain(above).collect()
}

fn file_of(blocks: &[Bytes]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chain.bin");
    let mut writer = ChainFileWriter::new(Vec::new());
    blocks.iter().for_each(|block| writer.write(block).unwrap());
    fs::write(&path, writer.into_inner()).unwrap();
    (dir, path)
}

#[test]
fn serves_the_blocks_as_they_stand_in_the_file() {
    let all = blocks(&chain(20));
    let (_dir, path) = file_of(&all);
    let file = ChainFile::open(&path).unwrap();
    assert_eq!((file.oldest(), file.head().height), (Height::GENESIS, Height::new(20)));
    assert_eq!(file.read(Height::new(0), 100, usize::MAX).unwrap(), all);
    assert_eq!(file.read(Height::new(19), 5, usize::MAX).unwrap(), all[19..]);
    assert_eq!(file.read(Height::new(3), 2, usize::MAX).unwrap(), all[3..5]);
    assert_eq!(file.read(Height::new(3), 5, 1).unwrap(), all[3..4]);
    assert!(file.read(Height::new(21), 5, usize::MAX).unwrap().is_empty());
    assert!(file.read(Height::new(u64::MAX), 5, usize::MAX).unwrap().is_empty());
}

#[test]
fn part_of_a_chain_is_served_from_its_own_lowest_height_on() {
    let all = blocks(&chain(6));
    let (_dir, path) = file_of(&all[4..]);
    let file = ChainFile::open(&path).unwrap();
    assert_eq!(file.oldest(), Height::new(4));
    assert!(file.read(Height::new(3), 5, usize::MAX).unwrap().is_empty());
    assert_eq!(file.read(Height::new(5), 5, usize::MAX).unwrap(), all[5..]);
}

#[test]
fn names_the_record_that_does_not_follow() {
    let mut all = blocks(&chain(6));
    all.remove(3);
    let (_dir, path) = file_of(&all);
    let expected = RecordPlace {
        record: 3,
        offset: all[..3].iter().map(|block| LENGTH_BYTES + block.len() as u64).sum(),
    };
    let error = ChainFile::open(&path).unwrap_err();
    assert!(matches!(error, OpenChainFileError::Link { place, .. } if place == expected));
}

#[test]
fn names_the_record_that_holds_no_block() {
    let mut all = blocks(&chain(2));
    all[1] = Bytes::from_static(b"no block");
    let (_dir, path) = file_of(&all);
    let error = ChainFile::open(&path).unwrap_err();
    assert!(matches!(error, OpenChainFileError::Block { place, .. } if place.record == 1));
}

#[test]
fn refuses_files_that_are_missing_empty_or_cut() {
    let all = blocks(&chain(2));
    let (dir, path) = file_of(&all);
    let absent = ChainFile::open(&dir.path().join("absent"));
    assert!(matches!(absent, Err(OpenChainFileError::Open { .. })));
    let whole = fs::read(&path).unwrap();
    for (cut, record) in [(0, 0), (2, 0), (whole.len() - 1, 2)] {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = ChainFile::open(&path).unwrap_err();
        assert!(
            matches!(&error, OpenChainFileError::Record { source, .. } if source.record == record),
            "{error:?}"
        );
    }
}
