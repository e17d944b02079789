//! Continuous, provable backup for SQLite.
pub mod cli;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod follow;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod history;
pub mod host;
pub mod ltx;
pub mod restore;
pub mod segment;
pub mod ship;
pub mod sqlite;
mod stored;
pub mod types;
pub mod verify;
pub mod wal;
