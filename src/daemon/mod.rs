//! Running: databases, their replicas, and the order in which they start and stop.

mod backend;
mod database;
mod exec;
mod memory;
mod pace;
mod state;
mod supervisor;

pub use backend::open_backend;
pub use database::{Database, OpenBackend, Replica};
pub use exec::{Child, ChildEnd};
pub use memory::use_little_memory;
pub use state::{StateError, StateFolder};
pub use supervisor::run;
