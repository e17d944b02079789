//! Running: databases, their replicas, and the order in which they start and stop.

mod backend;
mod database;
mod exec;
mod pace;
mod state;
mod supervisor;

pub use backend::Stores;
pub use database::{Database, OpenBackend, Replica};
pub use exec::{Child, ChildEnd};
pub use state::{StateError, StateFolder};
pub use supervisor::run;
