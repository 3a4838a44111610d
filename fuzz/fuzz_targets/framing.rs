//! A response of blocks gives the same chunks and the same end in whatever pieces it arrives, and
//! its decoder takes no more memory than one body and one frame.
#![no_main]

use alys_sync::wire::{
    block::BLOCK_BYTES_MAX,
    response::{Chunk, ChunkDecoder, ChunkError, ChunkProgress, encode_block_chunk},
};
use alys_sync_fuzz::memory_of;
use libfuzzer_sys::fuzz_target;

/// What a frame may take: about 75 KiB, in a buffer that grows by doubling and for a moment is
/// there twice. Unit: bytes.
const FRAME_MEMORY_MAX: usize = 256 << 10;

/// Feeds `pieces` to a decoder, gives what comes out to `take`, and how the response ended.
fn feed<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut take: impl FnMut(ChunkProgress),
) -> Result<(), ChunkError> {
    let mut decoder = ChunkDecoder::for_blocks();
    for mut piece in pieces {
        while let Some(progress) = decoder.advance(&mut piece)? {
            take(progress);
        }
        assert!(piece.is_empty(), "no progress means that all input was taken");
    }
    decoder.finish()
}

/// `wire` in pieces whose lengths follow from `seed`; byte by byte for 0.
fn pieces(wire: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (wire, u32::from(seed));
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(u32::from(seed));
        let length = (state >> 24) as usize * usize::from(seed) / 16;
        let (piece, tail) = rest.split_at_checked(length.max(1)).unwrap_or((rest, &[]));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, wire)) = data.split_first() else { return };
    let (end, memory) = memory_of(|| feed([wire], drop));
    assert!(memory <= BLOCK_BYTES_MAX + FRAME_MEMORY_MAX, "{memory} bytes");

    let (mut whole, mut split) = (Vec::new(), Vec::new());
    assert_eq!(feed([wire], |progress| whole.push(progress)), end);
    assert_eq!(feed(pieces(wire, seed), |progress| split.push(progress)), end);
    assert_eq!(split, whole);
    for progress in &whole {
        if let ChunkProgress::Chunk(chunk @ Chunk::Body(body)) = progress {
            let again = encode_block_chunk(body).expect("it came within the limits");
            let mut chunks = Vec::new();
            feed([&again[..]], |progress| chunks.push(progress)).expect("we wrote it ourselves");
            assert_eq!(chunks.pop(), Some(ChunkProgress::Chunk(chunk.clone())));
        }
    }
});
