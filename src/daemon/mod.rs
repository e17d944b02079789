//! Running: databases, their replicas, and the order in which they start and stop.

mod backend;
mod baseline;
mod database;
mod ends;
mod exec;
mod fork;
mod memory;
mod names;
mod not_now;
mod pace;
pub mod page_file;
mod remembered;
mod replica;
mod reporter;
mod rest;
mod retention;
mod schedule;
mod scheduling;
mod state;
pub mod status;
mod steady;
mod supervisor;
mod ticks;
mod validate;

pub use backend::Stores;
pub use database::Database;
pub use exec::{Child, ChildEnd};
pub use memory::use_little_memory;
pub use replica::{OpenBackend, Replica};
pub use retention::{Retention, grace_of, plan_for};
pub use scheduling::never_preempt;
pub use state::{StateError, StateFolder};
pub use supervisor::{policy_of, run};
