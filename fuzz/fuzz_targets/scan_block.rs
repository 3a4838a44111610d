//! A scan of a block and its decoding in full accept the same bytes, with the same errors, fields
//! and root; what is accepted is written back to the same bytes; and a scan takes no memory but
//! for the nodes of the root.
#![no_main]

use alys_sync::wire::block::{EncodedBlock, SignedBlock};
use alys_sync_fuzz::memory_of;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let raw = Bytes::copy_from_slice(data);
    // Cloning makes the bytes shared, which takes memory once.
    let _shared = raw.clone();
    let (scanned, memory) = memory_of(|| EncodedBlock::decode(raw));
    assert!(memory <= 32 * (data.len() / 64 + 1), "{memory} bytes for {}", data.len());
    let block = match SignedBlock::decode(data) {
        Ok(block) => block,
        Err(refusal) => {
            assert_eq!(scanned.err(), Some(refusal));
            return;
        }
    };
    let scanned = scanned.expect("the full decoder accepts it");
    let (message, payload) = (&block.message, &block.message.execution_payload);
    assert_eq!(block.encode(), data);
    assert_eq!(scanned.raw(), data);
    assert_eq!(scanned.root(), message.root());
    assert_eq!(scanned.parent(), message.parent_hash);
    assert_eq!(scanned.slot(), message.slot);
    assert_eq!(scanned.height(), block.height());
    assert_eq!(scanned.timestamp(), payload.timestamp);
    assert_eq!(scanned.execution_hash(), payload.block_hash);
    assert_eq!(scanned.execution_parent(), payload.parent_hash);
    assert_eq!(scanned.approval(), &block.approval);
    assert_eq!(&scanned.payload(), payload);
    assert_eq!(scanned.to_block(), block);
});
