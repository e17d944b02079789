//! What SQLite itself says of a database file.

use std::path::Path;

use rusqlite::OpenFlags;

use super::Error;

/// Runs `PRAGMA integrity_check` on a database that nobody else uses; `None` if it is in order, else the first problem.
///
/// # Errors
/// If SQLite cannot read it at all.
pub fn integrity_check(path: &Path) -> Result<Option<String>, Error> {
    let inner = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let answer: String = inner.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((answer != "ok").then_some(answer))
}
