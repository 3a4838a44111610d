//! What a peer sends in reply to one request: bytes and silences, in order.

use std::{collections::BTreeSet, time::Duration};

use alys_sync::wire::response::encode_block_chunk;
use bytes::Bytes;
use rand::{Rng as _, rngs::StdRng};

/// One step of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing for a while.
    Pause(Duration),
    /// The stream breaks.
    Cut,
    /// Nothing ever again.
    Silence,
}

/// A reply. After the last part the peer closes the stream cleanly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// What is sent.
    pub parts: Vec<Part>,
    /// Which blocks of it, counted from 0, are provable lies.
    pub lies: BTreeSet<usize>,
    blocks: usize,
}

impl Reply {
    /// Adds a block as one chunk. Some chunks travel in two pieces, which the seed decides: a
    /// decoder that needs whole chunks would not survive it.
    pub fn block(&mut self, raw: &[u8], rng: &mut StdRng) {
        let chunk = encode_block_chunk(raw)
            .expect("the blocks of the generated chain are far below what can be sent");
        let chunk = Bytes::from(chunk);
        if rng.random_ratio(1, 4) {
            let at = rng.random_range(0..chunk.len());
            self.parts.push(Part::Bytes(chunk.slice(..at)));
            self.parts.push(Part::Bytes(chunk.slice(at..)));
        } else {
            self.parts.push(Part::Bytes(chunk));
        }
        self.blocks += 1;
    }

    /// Adds a block that no honest peer can have.
    pub fn lie(&mut self, raw: &[u8], rng: &mut StdRng) {
        self.lies.insert(self.blocks);
        self.block(raw, rng);
    }

    /// Cuts the reply off inside its last bytes.
    pub fn cut_inside_the_last_block(&mut self) {
        if let Some(Part::Bytes(bytes)) = self.parts.last_mut() {
            *bytes = bytes.slice(..bytes.len() / 2);
        }
        self.parts.push(Part::Cut);
    }

    /// How many whole blocks it has.
    pub fn blocks(&self) -> usize {
        self.blocks
    }
}
