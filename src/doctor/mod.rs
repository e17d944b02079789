//! What keeps a database from being replicated, or a replica from being written, found out before the worst day.

mod database;
mod report;
mod store;

pub use database::examine_database;
pub use report::{Finding, Grade, Report};
pub use store::examine_store;
