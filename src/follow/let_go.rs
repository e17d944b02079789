//! Letting go of a database that no other process has open.
//!
//! A connection of ours keeps the WAL in being after the application's last one was closed. Whoever then puts another
//! file in the place of the database leaves it beside a WAL that is not its own, and the application's next start would
//! mix the two. So we do what SQLite's last connection does: see that everything is in the database file, and remove
//! the WAL. Afterwards the file stands still until somebody opens it, and the state folder knows its pages.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fault_points::fault_point;

use super::{Follower, Hold, Lost};
use crate::types::Timestamp;

/// What came of the attempt.
#[derive(Debug)]
pub enum LetGo {
    /// Nothing of ours is open any more. If this changes, the database has been used.
    Done(Fingerprint),
    /// Somebody has come, or the WAL is not copied back: following goes on.
    NotNow(Box<Follower>),
}

/// What a database that nobody uses looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    path: PathBuf,
    wal: PathBuf,
    file: Option<(u64, u64, u64, Option<SystemTime>)>,
}

impl Fingerprint {
    /// Of the database at `path`, which may be a symbolic link, with its WAL at `wal`. Nothing is opened.
    fn of(path: &Path, wal: &Path) -> Self {
        Self { path: path.to_owned(), wal: wal.to_owned(), file: file_at(path) }
    }

    /// Whether the database still looks like this, and has no WAL.
    #[must_use]
    pub fn holds(&self) -> bool {
        file_at(&self.path) == self.file && self.wal.symlink_metadata().is_err()
    }
}

fn file_at(path: &Path) -> Option<(u64, u64, u64, Option<SystemTime>)> {
    let identity = |m: Metadata| (m.dev(), m.ino(), m.len(), m.modified().ok());
    std::fs::metadata(path).ok().map(identity)
}

impl Follower {
    /// Whether no other process has the database open.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        // Where nobody can tell, there may be somebody.
        self.checkpointer.has_other_users().is_ok_and(|others| !others)
    }

    /// Whether besides nothing of the database is being copied, and every replica has everything.
    #[must_use]
    pub fn may_let_go(&self) -> bool {
        self.is_alone() && !self.lease_is_out() && !self.held_for_lease && self.log.is_all_shipped()
    }

    /// Hands over, and if that succeeds and still nobody else is there, closes the database as SQLite's last connection
    /// does. `configured` is the path under which it is known.
    ///
    /// # Errors
    /// If continuity is lost: this follower is of no further use then.
    pub fn let_go(mut self, configured: &Path, now: Timestamp) -> Result<LetGo, (Box<Self>, Lost)> {
        match self.is_ready_to_go(now) {
            Ok(true) => {}
            Ok(false) => return Ok(LetGo::NotNow(Box::new(self))),
            Err(lost) => return Err((Box::new(self), lost)),
        }
        let seen = Fingerprint::of(configured, self.wal.path());
        let Self { lines, held, checkpointer, .. } = self;
        let [first, second] = lines;
        let (last, other) = if held == 0 { (first, second) } else { (second, first) };
        drop((other, checkpointer));
        // If another process has come in this very moment it keeps its WAL; the fingerprint tells then.
        fault_point!("let-go-closing");
        last.close_as_last();
        fault_point!("let-go-closed");
        Ok(LetGo::Done(seen))
    }

    /// Everything is captured and copied back, so closing writes nothing; and the file is the one that was followed.
    fn is_ready_to_go(&mut self, now: Timestamp) -> Result<bool, Lost> {
        self.observe(now)?;
        if self.hold != Hold::Guarded && !self.hand_over(now)? {
            return Ok(false);
        }
        self.observe(now)?;
        let index = self.newest_index()?;
        let captured = index.frames == 0 || (index.salts == self.salts && self.tail_frames() == Some(index.frames));
        if self.hold != Hold::Guarded || !captured || !index.is_copied() || !self.may_let_go() {
            return Ok(false);
        }
        self.recognise_database()?;
        Ok(true)
    }
}
