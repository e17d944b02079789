//! The hash of an object's LZ4 frame as it is stored: SHA-256 over the 128-bit XXH3 of each of its 64 KiB blocks.
//!
//! Of the stored bytes, for there is a third as many of them, and because two frames may hold the same data.
//!
//! A plain SHA-256 would be no safer: it finds accidents, as this does, and whoever can forge the data can forge the
//! seal beside it. But without the processor's help it takes longer than everything else together that is done to a
//! byte on its way (docs/performance.md).

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

const BLOCK_BYTES: usize = 64 << 10;

/// What [`ContentHasher::finish`] returns.
pub type ContentHash = [u8; 32];

/// Hashes data as it passes.
pub struct ContentHasher {
    block: Xxh3,
    filled: usize,
    blocks: Sha256,
}

impl ContentHasher {
    /// Of no data yet.
    #[must_use]
    pub fn new() -> Self {
        Self { block: Xxh3::new(), filled: 0, blocks: Sha256::new() }
    }

    /// Continues with `data`; how it is cut into pieces does not matter.
    pub fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(BLOCK_BYTES - self.filled));
            self.block.update(now);
            self.filled += now.len();
            data = later;
            if self.filled == BLOCK_BYTES {
                self.end_block();
            }
        }
    }

    /// The hash of everything.
    #[must_use]
    pub fn finish(mut self) -> ContentHash {
        if self.filled > 0 {
            self.end_block();
        }
        self.blocks.finalize().into()
    }

    fn end_block(&mut self) {
        self.blocks.update(self.block.digest128().to_le_bytes());
        self.block.reset();
        self.filled = 0;
    }
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pieces: &[&[u8]]) -> ContentHash {
        let mut hasher = ContentHasher::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }

    #[test]
    fn pieces_do_not_matter_but_every_bit_does() {
        let mut data: Vec<u8> = (0..200_000_u32).map(|i| (i * 7 / 3) as u8).collect();
        let whole = hash(&[&data]);
        for cut in [1, 65_535, 65_536, 65_537, 131_072, 199_999] {
            assert_eq!(hash(&[&data[..cut], &data[cut..]]), whole, "cut at {cut}");
        }
        for at in [0, 65_535, 65_536, 199_999] {
            data[at] ^= 1;
            assert_ne!(hash(&[&data]), whole, "bit flipped at {at}");
            data[at] ^= 1;
        }
        assert_ne!(hash(&[&data[..131_072]]), hash(&[&data[..65_536]]));
    }
}
