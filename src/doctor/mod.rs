//! What keeps a database from being replicated, or a replica from being written, found out before the worst day.

mod database;
mod file_system;
mod report;
mod store;

pub use database::examine_database;
pub use file_system::doubts;
pub use report::{Finding, Grade, Report};
pub use store::examine_store;
