//! Running: databases, their replicas, and the order in which they start and stop.

mod database;
mod state;

pub use database::{Database, Replica};
pub use state::{StateError, StateFolder};
