//! Following and shipping, with real processes: writers, replicators, and the real Litestream as a judge.

mod bad_input;
mod behind;
mod events;
mod exec;
pub mod felt;
mod kills;
mod letting_go;
mod locks;
pub mod mounts;
pub mod processes;
mod resync;
mod retention;
mod savepoint;
pub mod scene;
mod shapes;
pub mod storm;
mod verify;
pub mod writers;
