//! Continuous, provable backup for SQLite.
pub mod types;
