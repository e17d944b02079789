//! Running: databases, their replicas, and the order in which they start and stop.

mod backend;
mod baseline;
mod database;
mod exec;
mod fork;
mod memory;
mod pace;
pub mod page_file;
mod rest;
mod retention;
mod schedule;
mod state;
mod supervisor;
mod validate;

pub use backend::Stores;
pub use database::{Database, OpenBackend, Replica};
pub use exec::{Child, ChildEnd};
pub use memory::use_little_memory;
pub use retention::{Retention, grace_of, plan_for};
pub use state::{StateError, StateFolder};
pub use supervisor::{policy_of, run};
