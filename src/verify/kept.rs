//! What the last scheduled verification found, as it is kept beside the replica.

use std::fmt;

use replica_backends::{Backend, ByteRange, ErrorKind, read};
use serde_json::Value;

use super::Outcome;
use crate::history::keys::VERIFY;

/// A kept result.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The answer.
    pub outcome: Outcome,
    /// What `Verification::to_json` has, and `time` (RFC 3339).
    pub answer: Value,
}

impl Kept {
    /// Reads it; `None` if there is none, or none that this version can read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(backend: &dyn Backend) -> replica_backends::Result<Option<Self>> {
        match read(backend, VERIFY, ByteRange::All).await {
            Ok(body) => Ok(Self::parse(&body)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let named = |outcome: &Outcome| answer["result"] == outcome.name();
        let outcome = [Outcome::Ok, Outcome::Inconclusive, Outcome::Failed].into_iter().find(named)?;
        Some(Self { outcome, answer })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (replica, time) = (text(&self.answer["replica"]), text(&self.answer["time"]));
        writeln!(f, "replica {replica}: {} at {time}", self.outcome.name())?;
        for fault in self.answer["faults"].as_array().into_iter().flatten() {
            writeln!(f, "  FAILED {}: {}", text(&fault["object"]), text(&fault["what"]))?;
        }
        for open in self.answer["open"].as_array().into_iter().flatten() {
            writeln!(f, "  not known: {}", text(open))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Verification;

    #[test]
    fn what_was_found_is_read_as_it_was_kept() {
        let mut found = Verification::new("r0");
        found.failed("generations/x", "it is gone");
        let mut answer = found.to_json();
        answer["time"] = "2026-01-02T03:04:05.000Z".into();
        let kept = Kept::parse(answer.to_string().as_bytes()).unwrap();
        let said = "replica r0: failed at 2026-01-02T03:04:05.000Z\n  FAILED generations/x: it is gone\n";
        assert_eq!((kept.outcome, kept.to_string().as_str()), (Outcome::Failed, said));
        for bad in ["", "{}", "[1]", "{\"result\": \"fine\"}"] {
            assert!(Kept::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
