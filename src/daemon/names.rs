//! Names that nobody else has.

use crate::types::{Generation, WriterId};

/// Of a new history.
pub fn fresh_generation() -> Generation {
    Generation(random())
}

/// Of a new writer.
pub fn fresh_writer() -> WriterId {
    WriterId(random())
}

fn random() -> u64 {
    // Without the operating system's randomness the clock has to do: names need to differ, not to be secret.
    getrandom::u64().unwrap_or_else(|_| fastrand::u64(..))
}
