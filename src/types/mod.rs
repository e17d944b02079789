//! Vocabulary: a type for every number that can be confused with another.

mod generation;
mod page;
mod position;
mod time;
mod txid;

pub use generation::{Generation, WriterId};
pub use page::{PageCount, PageNo, PageSize};
pub use position::{Index, Offset, Position};
pub use time::{Clock, SystemClock, Timestamp};
pub use txid::{NotATxid, Txid};

#[cfg(test)]
mod tests;
