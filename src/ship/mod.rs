//! Shipping: entries of the commit log become objects of a replica, in order and sealed.

mod bridge;
mod claim;
mod confirm;
mod end;
mod leftovers;
mod merge;
mod prune;
mod range;
mod resume;
mod segment;
mod shipper;
mod silence;
mod snapshot;
mod status;
mod stream;
mod streams;
mod take_over;
mod unfinished;

pub use bridge::{Unbridged, bridge};
pub use leftovers::clear_leftovers;
pub use merge::{Merges, Merging};
pub use prune::{Pruned, prune};
pub use resume::{Found, HistoryEnd, find_end};
pub use shipper::{Conflict, Shipper};
pub use silence::Silence;
pub use status::{Failing, ReplicaStatus, Verdict};
pub use streams::{AllStreams, Streams};
pub use unfinished::abort_stale;

use crate::types::{Position, WriterId};

/// Who ships: what goes into every seal.
#[derive(Debug, Clone)]
pub struct Author {
    /// Of this state folder.
    pub writer: WriterId,
    /// Name and version of this program.
    pub software: String,
    /// The history from which the one that is written was forked.
    pub parent: Option<Position>,
}

impl Author {
    /// This program, writing as `writer`.
    #[must_use]
    pub fn new(writer: WriterId) -> Self {
        Self { writer, software: concat!("lightship/", env!("CARGO_PKG_VERSION")).to_owned(), parent: None }
    }
}
