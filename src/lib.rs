//! Continuous, provable backup for SQLite.
pub mod config;
pub mod types;
