//! Replicas encrypted with age, with real processes, and the real Litestream 0.3.13 at the other end.

mod blind;
mod interop;
mod keys;
pub mod stage;
