//! Following and shipping, with real processes: writers, replicators, and the real Litestream as a judge.

mod bad_input;
mod events;
mod exec;
mod kills;
mod locks;
mod mounts;
mod processes;
mod savepoint;
mod scene;
mod shapes;
mod storm;
mod verify;
