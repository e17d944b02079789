//! Looking at a database without following it: one state, read whole under a read transaction.

use std::path::Path;
use std::time::Duration;

use super::attach::{first_hold, page_size, read_state};
use super::identity::Identity;
use super::wal_file::WalFile;
use super::{Hold, Lost};
use crate::host;
use crate::segment::StateDigest;
use crate::sqlite::Connection;
use crate::types::PageCount;
use crate::wal::Salts;

/// How often a state is tried for: a WAL may begin anew while it is being read, if all of it was copied back before.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// One state of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Salts of its WAL.
    pub salts: Salts,
    /// Where in its WAL the last commit ends; 0 if the WAL is empty.
    pub offset: u64,
    /// Its size.
    pub size: PageCount,
    /// Its digest.
    pub digest: StateDigest,
}

/// Reads the newest state of the database at `path`, which is in WAL mode. Others read and write meanwhile as they
/// like; a checkpoint is held up as by any reader.
///
/// # Errors
/// If the database cannot be read, or does not hold still long enough.
pub fn observe(path: &Path) -> Result<Observed, Lost> {
    let path = std::fs::canonicalize(path).map_err(|_| Lost::Deleted)?;
    let identity = Identity::of(&path)?;
    for _ in 1..TRIES {
        match observe_once(&path) {
            // A replaced file is no fault of the reading.
            Ok(observed) => return identity.check().map(|()| observed),
            Err(Lost::Deleted | Lost::Replaced | Lost::PageSize) => break,
            Err(_) => host::pause(PAUSE),
        }
    }
    observe_once(&path)
}

fn observe_once(path: &Path) -> Result<Observed, Lost> {
    let mut line = Connection::open(path)?;
    let hold = first_hold(&mut line)?;
    let wal = WalFile::open(path).map_err(Lost::ReadWal)?;
    let page_size = page_size(&line)?;
    let view = read_state(&line, &wal, page_size)?;
    // Under a guard the WAL may have begun anew, and only once: what was read must still be there.
    if hold == Hold::Guarded && line.wal_index()?.salts != view.index.salts {
        return Err(Lost::Sqlite(crate::sqlite::Error::Busy("the WAL began anew while it was read")));
    }
    let (salts, offset) = match &view.scan {
        Some(scan) => (scan.header.salts, scan.end),
        None => (view.index.salts, 0),
    };
    Ok(Observed { salts, offset, size: view.hashes.size(), digest: view.hashes.digest() })
}
