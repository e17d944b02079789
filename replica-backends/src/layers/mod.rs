//! Layers: backends that add something to another backend. They stack in any order; each forwards every method.
//!
//! The usual stack is [`Meter`] over [`Retry`] over a driver, so that an operation is counted once however often it
//! was tried; swap the two to count the attempts.

mod age;
mod faulty;
mod meter;
mod retry;

pub use age::{Age, AgeKeys, BEGINNING, KeyFault, Memory};
pub use faulty::{Call, Fault, Faulty};
pub use meter::{Counters, Meter, OperationCounters, Tally};
pub use retry::{Retry, RetryPolicy};
