//! All integration tests in one binary, because linking the bundled SQLite takes long.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../restore/mod.rs"]
mod restore;
