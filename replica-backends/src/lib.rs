//! The places Lightship keeps replicas.
//!
//! A [`Backend`] speaks keys and bytes only: it knows nothing of generations, segments or seals. Drivers live in
//! one module each ([`mod@file`]); [`layers`] stack on any backend; [`conformance`] is the suite that all must pass.

mod backend;
#[cfg(any(test, doc, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod file;
mod key;
pub mod layers;

pub use backend::{Backend, Body, ByteRange, ByteStream, ObjectMeta};
pub use error::{Error, ErrorKind, Operation, Result};
