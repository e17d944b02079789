//! Names that nobody else has.

use crate::host;
use crate::types::{Generation, WriterId};

/// Of a new history.
pub fn fresh_generation() -> Generation {
    Generation(host::random())
}

/// Of a new writer.
pub fn fresh_writer() -> WriterId {
    WriterId(host::random())
}
