//! Vocabulary: a type for every number that can be confused with another.

mod generation;
mod level;
mod page;
mod page_set;
mod position;
mod sidecar;
mod time;
mod txid;

pub use generation::{Generation, WriterId};
pub use level::Level;
pub use page::{PageCount, PageNo, PageSize};
pub use page_set::PageSet;
pub use position::{Index, NotAPosition, Offset, Position};
pub use sidecar::sidecar;
pub use time::{Clock, SystemClock, Timestamp};
pub use txid::{NotATxid, Txid};

#[cfg(test)]
mod tests;
