//! Chain files: the golden one, and every way to break one.

use proptest::prelude::*;

use super::{ChainFileError, ChainFileReader, ChainFileWriter, RecordFault, RecordPart};
use crate::wire::{
    block::{BLOCK_BYTES_MAX, EncodedBlock},
    vectors::{self, BlockRow},
};

fn written(blocks: &[&[u8]]) -> Vec<u8> {
    let mut writer = ChainFileWriter::new(Vec::new());
    blocks.iter().for_each(|block| writer.write(block).unwrap());
    writer.into_inner()
}

/// How many records are good, and the error after them.
fn read(bytes: &[u8]) -> (usize, Option<ChainFileError>) {
    let mut good = 0;
    let mut reader = ChainFileReader::new(bytes);
    for record in reader.by_ref() {
        match record {
            Ok(_) => good += 1,
            Err(error) => {
                assert!(reader.next().is_none(), "nothing after an error");
                return (good, Some(error));
            }
        }
    }
    (good, None)
}

#[test]
fn golden_chain_file_holds_the_golden_chain() {
    let bytes = vectors::file("chain.bin");
    let rows: Vec<BlockRow> = vectors::rows("chain.json");
    let blocks: Vec<_> = ChainFileReader::new(bytes.as_slice()).collect::<Result<_, _>>().unwrap();
    assert_eq!(blocks.len(), rows.len());
    assert!(blocks.iter().zip(&rows).all(|(block, row)| *block == row.encoded.0));
    let blocks: Vec<_> = blocks.iter().map(|block| &block[..]).collect();
    assert_eq!(written(&blocks), bytes);
}

#[test]
fn large_chain_file_holds_5001_blocks() {
    let bytes = vectors::unpacked("chain-5000.bin.gz");
    let last = ChainFileReader::new(bytes.as_slice()).last().unwrap().unwrap();
    assert_eq!(EncodedBlock::decode(last).unwrap().height().get(), 5000);
    assert_eq!(read(&bytes).0, 5001);
}

#[test]
fn empty_file_has_no_blocks() {
    assert!(matches!(read(&[]), (0, None)));
}

#[test]
fn file_cut_anywhere_names_the_record_and_its_offset() {
    let bytes = written(&[b"abc", b"de"]);
    for length in [0, 7, 13] {
        assert!(read(&bytes[..length]).1.is_none(), "{length} bytes");
    }
    let (good, error) = read(&bytes[..9]);
    let text = "record 1 at byte 7: the file ends after 2 of 4 bytes of the length";
    assert_eq!((good, error.unwrap().to_string().as_str()), (1, text));
    let (good, error) = read(&bytes[..12]);
    let error = error.unwrap();
    assert_eq!((good, error.record, error.offset), (1, 1, 7));
    let fault = error.fault;
    assert!(
        matches!(fault, RecordFault::Cut { part: RecordPart::Block, expected: 2, found: 1 }),
        "{fault:?}"
    );
}

#[test]
fn refuses_lengths_that_no_block_has_before_allocating() {
    for (length, found) in [(0_u32, 0), (1_048_577, BLOCK_BYTES_MAX + 1), (u32::MAX, 0xffff_ffff)] {
        let (good, error) = read(&length.to_le_bytes());
        let fault = error.unwrap().fault;
        assert_eq!(good, 0);
        assert!(
            matches!(fault, RecordFault::LengthOutOfRange { found: f } if f == found),
            "{fault:?}"
        );
    }
}

#[test]
fn writes_no_record_that_would_not_be_read() {
    let mut writer = ChainFileWriter::new(Vec::new());
    writer.write(b"abc").unwrap();
    for block in [&[][..], &vec![0; BLOCK_BYTES_MAX + 1]] {
        let error = writer.write(block).unwrap_err();
        assert_eq!((error.record, error.offset), (1, 7));
    }
    assert_eq!(writer.into_inner(), written(&[b"abc"]));
}

#[test]
fn only_block_is_neither_missing_nor_one_of_several() {
    let only = |blocks: &[&[u8]]| {
        ChainFileReader::only(written(blocks).as_slice()).map_err(|error| error.to_string())
    };
    assert_eq!(only(&[b"abc"]).unwrap(), "abc");
    assert_eq!(only(&[]).unwrap_err(), "record 0 at byte 0: the file holds no block");
    let several = "record 1 at byte 7: the file holds more than one block";
    assert_eq!(only(&[b"abc", b"de"]).unwrap_err(), several);
}

#[test]
fn failure_of_the_source_is_told_from_its_end() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let error = ChainFileReader::new(Broken).next().unwrap().unwrap_err();
    assert!(matches!(error.fault, RecordFault::Io(_)));
}

proptest! {
    #[test]
    fn any_blocks_survive(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..9)
    ) {
        let slices: Vec<_> = blocks.iter().map(Vec::as_slice).collect();
        let bytes = written(&slices);
        let back: Vec<_> =
            ChainFileReader::new(bytes.as_slice()).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(back, blocks);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = read(&bytes);
    }
}
