//! Continuous, provable backup for SQLite.
pub mod cli;
pub mod config;
pub mod types;
