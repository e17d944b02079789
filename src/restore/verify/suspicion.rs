//! What looks wrong is looked at again: objects are merged and removed while they are being read, and a listing and
//! what is read behind it are not of one moment.

use super::{Comparison, Fault};

/// How often something is read that looked different each time, or was gone.
pub const READS: usize = 10;

/// What one reading found wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// Objects at fault.
    pub faults: Vec<Fault>,
    /// A commit that is not what the database has.
    pub diverged: Option<Comparison>,
}

impl Suspicion {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty() && self.diverged.is_none()
    }

    /// What both readings found.
    pub fn common(&self, other: &Self) -> Self {
        let faults = self.faults.iter().filter(|fault| other.faults.contains(fault)).cloned().collect();
        Self { faults, diverged: self.diverged.filter(|_| self.diverged == other.diverged) }
    }
}
