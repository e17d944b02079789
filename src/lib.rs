//! Continuous, provable backup for SQLite.
pub mod follow;
pub mod history;
pub mod segment;
pub mod sqlite;
pub mod types;
pub mod wal;
