//! What is known of the seals of a replica's objects. Planning asks for the few it needs.

use std::collections::BTreeMap;

use super::ObjectName;
use crate::segment::{Seal, SealFault};

/// What the end of an object turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// Lightship wrote it.
    Sealed(Box<Seal>),
    /// Litestream wrote it, or its end is cut off.
    Unsealed,
    /// A seal that cannot be used.
    Damaged(SealFault),
}

/// The seals that have been read so far.
#[derive(Debug, Clone, Default)]
pub struct Seals(BTreeMap<ObjectName, Sealing>);

/// These seals have to be read before an answer can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsSeals(pub Vec<ObjectName>);

impl Seals {
    /// Takes note of what the end of `name` is.
    pub fn learn(&mut self, name: ObjectName, sealing: Sealing) {
        self.0.insert(name, sealing);
    }

    /// Forgets everything but what is known of the objects that `keeps` accepts.
    pub fn retain(&mut self, keeps: impl Fn(&ObjectName) -> bool) {
        self.0.retain(|name, _| keeps(name));
    }

    /// What the end of `name` is.
    ///
    /// # Errors
    /// If it has not been read yet.
    pub fn of(&self, name: &ObjectName) -> Result<&Sealing, NeedsSeals> {
        self.0.get(name).ok_or_else(|| NeedsSeals(vec![*name]))
    }

    /// The seal of `name`, if it is known and good.
    #[must_use]
    pub fn known(&self, name: &ObjectName) -> Option<&Seal> {
        match self.0.get(name) {
            Some(Sealing::Sealed(seal)) => Some(seal),
            _ => None,
        }
    }
}
