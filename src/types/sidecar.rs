//! Files beside a database.

use std::path::{Path, PathBuf};

/// The file beside `path` that has its name and a suffix: SQLite's `-wal`, `-shm` and `-journal`.
#[must_use]
pub fn sidecar(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
