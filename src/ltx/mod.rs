//! One file of a Litestream 0.5 replica (LTX, version 3): header, pages, page index, trailer.
//!
//! Pure: readers are passed in. Which files there are and which a restore needs is `history/`'s business.

mod checksum;
mod decode;
mod header;
mod rolling;

pub use checksum::Crc64;
pub use decode::{Decoder, LtxFault};
pub use header::{HEADER_BYTES, LtxHeader};
pub use rolling::RollingChecksum;

#[cfg(test)]
mod tests;
