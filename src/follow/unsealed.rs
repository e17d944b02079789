//! Committed frames without salts and checksum, as SQLite 3.40.1 and others leave them behind when a savepoint is
//! rolled back in a transaction that has outgrown the page cache (tests/suite/follow/savepoint.rs tells the story).
//!
//! Such a WAL is sound only while somebody keeps its wal-index open: whoever builds a new one from the WAL stops before
//! the first such frame. If the application has gone, we are the last to keep it, so we may not just let go.

use super::checkpointer::Checkpointer;
use super::identity::Identity;
use super::{Follower, Lost};
use crate::sqlite::{Checkpoint, Connection};
use crate::wal::{FrameFault, Salts};

impl Lost {
    fn is_unsealed_frame(&self) -> bool {
        matches!(self, Self::Frame { fault: FrameFault::Salts { found, .. }, .. } if *found == Salts::default())
    }
}

impl Follower {
    /// If `lost` is an unsealed frame: copies the WAL back and empties it, before our connections are closed.
    pub(super) fn save_unsealed(&mut self, lost: &Lost) {
        if lost.is_unsealed_frame() && self.recognise_database().is_ok() {
            // The WAL restarts under the shippers now: what they read from it is not to be trusted any more.
            self.log.detach();
            self.allow_checkpoints();
            copy_back(&mut self.lines, &mut self.checkpointer, self.path.as_path());
        }
    }
}

/// [`Follower::save_unsealed`] where there is no follower yet.
pub(super) fn save_unsealed(lost: &Lost, identity: &Identity, lines: &mut [Connection; 2], path: &std::path::Path) {
    if !lost.is_unsealed_frame() || identity.check().is_err() {
        return;
    }
    if let Ok(mut checkpointer) = Checkpointer::open(path) {
        copy_back(lines, &mut checkpointer, path);
    }
}

fn copy_back(lines: &mut [Connection; 2], checkpointer: &mut Connection, path: &std::path::Path) {
    lines.iter_mut().for_each(Connection::end);
    // A busy application is no danger: as long as it is there, so is the wal-index. The next attempt comes soon.
    match checkpointer.checkpoint_truncate() {
        Ok(Checkpoint::Done { .. }) => tracing::warn!(db = %path.display(),
            "the application's SQLite committed frames without checksums (a bug of old versions): a crash would have \
             lost them; they are in the database file now. A newer SQLite is advised"),
        ended => tracing::debug!(db = %path.display(), ?ended, "unsealed frames cannot be copied back yet"),
    }
}
