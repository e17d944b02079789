//! The connection that checkpoints, and keeps others from it.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use crate::sqlite::{Connection, Error, SharedLock};

/// A connection that never has a transaction.
#[derive(Debug)]
pub(super) struct Checkpointer {
    connection: Connection,
    refuses: Option<SharedLock>,
}

impl Checkpointer {
    /// Of the database at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut connection = Connection::open(path)?;
        // A checkpoint needs a WAL that the connection has opened.
        connection.begin_read()?;
        connection.end();
        Ok(Self { connection, refuses: None })
    }

    /// Refuses everybody else's checkpoints, unless one is under way; and its own.
    pub(super) fn refuse_others(&mut self) -> Result<(), Error> {
        if self.refuses.is_none() {
            self.refuses = self.connection.refuse_checkpoints()?;
        }
        Ok(())
    }

    pub(super) fn refuses_others(&self) -> bool {
        self.refuses.is_some()
    }

    pub(super) fn allow_others(&mut self) -> Result<(), Error> {
        self.refuses.take().map_or(Ok(()), |lock| self.connection.release(lock))
    }
}

impl Drop for Checkpointer {
    /// Within an application, SQLite would keep the lock for as long as any connection of the process has the wal-index
    /// open (`unixShmUnmap`).
    fn drop(&mut self) {
        let _ = self.allow_others();
    }
}

impl Deref for Checkpointer {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Checkpointer {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
