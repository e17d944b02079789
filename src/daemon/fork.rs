//! A generation that was lost to another writer, and what follows from that.

use crate::ship::Conflict;
use crate::types::{Generation, Position};

/// A generation that this replicator must leave to another.
///
/// It never continues it again, and the next one that it begins names it as its parent. It also takes a new writer's
/// name, so that each name stands in one line of history only: the other may have the same one, with a copy of our
/// state folder, and after a restart the name tells which generation is one's own.
#[derive(Debug, Clone)]
pub struct Fork {
    /// Up to here the history is common.
    pub parent: Position,
    key: String,
    pending: bool,
}

impl Fork {
    /// What follows from `conflict`.
    pub fn of(conflict: &Conflict) -> Self {
        Self { parent: conflict.at, key: conflict.key.clone(), pending: true }
    }

    /// The new generation has begun.
    pub fn begun(self) -> Self {
        Self { pending: false, ..self }
    }

    /// Whether the new generation is still to be begun.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// The generation that was lost.
    pub fn generation(&self) -> Generation {
        self.parent.generation
    }

    /// Why the new generation begins.
    pub fn reason(&self) -> String {
        format!("forked: another replicator wrote {}", self.key)
    }
}
