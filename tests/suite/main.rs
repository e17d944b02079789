//! All integration tests in one binary, because linking the bundled SQLite takes long.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod age;
mod faults;
mod follow;
mod hosts;
#[path = "../merge/mod.rs"]
mod merge;
#[path = "../restore/mod.rs"]
mod restore;
mod s3;
