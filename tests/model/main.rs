//! The protocols that nothing may be lost by, as models whose every state is visited.
//!
//! Each step of a protocol can be left out: the checker then has to find what goes wrong. So a test that finds nothing
//! for the whole protocol says something, and so does the protocol's every step.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod check;
mod claims;
mod handover;
