//! `version`: of this program and of the SQLite in it.

use std::ffi::OsString;
use std::path::Path;

use super::console::Console;

/// Prints both. Called as `litestream`, the first line has the form that scripts made for it know.
pub fn run(program: Option<&OsString>, console: &Console) {
    let called_litestream = program.and_then(|p| Path::new(p).file_name()).is_some_and(|name| name == "litestream");
    let name = if called_litestream { "" } else { "lightship " };
    let (own, sqlite) = (env!("CARGO_PKG_VERSION"), crate::sqlite::library_version());
    console.table(&format!("{name}v{own}\nSQLite {sqlite}\n"));
}
