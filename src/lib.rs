//! Continuous, provable backup for SQLite.
pub mod history;
pub mod restore;
pub mod segment;
pub mod types;
pub mod wal;
