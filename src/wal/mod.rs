//! The write-ahead log as bytes: header, frames, running checksum (sqlite.org/fileformat2.html, section 4).
//!
//! Pure: no file, no clock, no SQLite. What is read from a disk becomes a [`WalHeader`] or a [`FrameHeader`] only
//! after its salts and its running checksum have been verified.

mod chain;
mod checksum;
mod header;

pub use chain::{Chain, FRAME_HEADER_BYTES, FrameFault, FrameHeader, frame_bytes};
pub use checksum::{ByteOrder, Checksum};
pub use header::{HeaderFault, Salts, WAL_HEADER_BYTES, WalHeader};

#[cfg(test)]
mod tests;
