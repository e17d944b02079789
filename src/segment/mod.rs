//! What an object of a replica is made of: one LZ4 frame, then a seal (docs/format.md).
//!
//! Pure: readers and writers are passed in.

mod content;
mod decode;
mod digest;
mod encode;
mod frame_writer;
mod lz4;
mod merge;
mod seal;
pub(crate) mod varint;

pub use content::{ContentHash, ContentHasher};
pub use decode::{DecodeFault, Decoder};
pub use digest::{PageHash, PageHashes, StateDigest, page_hash};
pub use encode::Encoder;
pub use lz4::{Lz4Fault, Scratch};
pub(crate) use lz4::{lz4_block, lz4_frame};
pub use merge::{MergeFault, merge};
pub use seal::{Commit, SEAL_TAIL_BYTES, Seal, SealFault, SealKind, SourceCursor, Tail};

#[cfg(test)]
mod tests;
