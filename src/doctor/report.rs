//! What was found out.

use std::fmt;

use serde_json::{Value, json};

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Fine,
    /// It works, but somebody should know.
    Note,
    /// Something will not work.
    Wrong,
}

impl Grade {
    fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Wrong => "WRONG",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word.
    pub what: &'static str,
    /// What it means.
    pub grade: Grade,
    /// What was found, and what to do about it.
    pub says: String,
}

/// Everything that was found out of one database or one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of what.
    pub subject: String,
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(subject: String) -> Self {
        Self { subject, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, what: &'static str, grade: Grade, says: impl Into<String>) {
        self.findings.push(Finding { what, grade, says: says.into() });
    }

    /// The worst of the findings.
    #[must_use]
    pub fn grade(&self) -> Grade {
        self.findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Fine)
    }

    /// `subject`, `grade`, and `findings` with `what`, `grade` and `says`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let finding = |f: &Finding| json!({ "what": f.what, "grade": f.grade.name(), "says": f.says });
        let findings: Vec<Value> = self.findings.iter().map(finding).collect();
        json!({ "subject": self.subject, "grade": self.grade().name(), "findings": findings })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject)?;
        for finding in &self.findings {
            writeln!(f, "  {:5}  {:12}  {}", finding.grade.name(), finding.what, finding.says)?;
        }
        Ok(())
    }
}
