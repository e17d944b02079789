//! What a verification found, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::restore::verify::{Checked, Comparison, Fault};

/// The answer. The worst of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything is what it says, and can be restored.
    Ok,
    /// Something could not be found out.
    Inconclusive,
    /// Something is damaged, missing or wrong.
    Failed,
}

impl Outcome {
    /// As it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }
}

/// The verification of one replica.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Its name in the configuration.
    pub replica: String,
    /// What each history gave.
    pub checked: Vec<Checked>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What could not be found out, and why.
    pub open: Vec<String>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

impl Verification {
    /// Nothing found yet.
    #[must_use]
    pub fn new(replica: &str) -> Self {
        let replica = replica.to_owned();
        Self { replica, checked: Vec::new(), faults: Vec::new(), open: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn failed(&mut self, object: &str, what: &str) {
        self.faults.push(Fault { object: object.to_owned(), what: what.to_owned() });
    }

    pub(super) fn inconclusive(&mut self, what: &str) {
        self.open.push(what.to_owned());
    }

    pub(super) fn note(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    /// The answer.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if !self.faults.is_empty() {
            Outcome::Failed
        } else if !self.open.is_empty() {
            Outcome::Inconclusive
        } else {
            Outcome::Ok
        }
    }

    /// For programs: `replica`, `result` ("ok", "failed", "inconclusive"), `faults` (objects with `object` and `what`),
    /// `open`, `notes` (texts), `histories` (objects with `name`, `objects`, `stored_bytes`, `commits`, `proved`,
    /// `end`, `equals_database`).
    #[must_use]
    pub fn to_json(&self) -> Value {
        let fault = |f: &Fault| json!({ "object": f.object, "what": f.what });
        let history = |c: &Checked| {
            json!({
                "name": c.history,
                "objects": c.objects,
                "stored_bytes": c.stored_bytes,
                "commits": c.commits,
                "proved": c.proved,
                "end": c.end.map(|(position, _)| position.to_string()),
                "equals_database": matches!(c.comparison, Comparison::Same(_)),
            })
        };
        json!({
            "replica": self.replica,
            "result": self.outcome().name(),
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "open": self.open,
            "notes": self.notes,
            "histories": self.checked.iter().map(history).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "replica {}: {}", self.replica, self.outcome().name())?;
        for c in &self.checked {
            writeln!(f, "  {}: {} objects, {} commits, {} bytes", c.history, c.objects, c.commits, c.stored_bytes)?;
        }
        for fault in &self.faults {
            writeln!(f, "  FAILED {}: {}", fault.object, fault.what)?;
        }
        for open in &self.open {
            writeln!(f, "  not known: {open}")?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}
