//! `verify`: whether replicas are what they say, and what the database is.
//!
//! Exit codes: 0 ok, 2 failed, 3 inconclusive; 1 if there was nothing to verify. JSON: an array of objects with
//! `database` (null for a URL) and what `Verification::to_json` has.

use serde_json::{Value, json};

use super::args::Verify;
use super::console::Console;
use super::error::CliError;
use super::replicas;
use super::restore::Terminal;
use super::{block_on, listing};
use crate::restore::NamedBackend;
use crate::verify::{Kept, Options, Outcome, verify};

/// Verifies every replica that the command names.
pub fn run(command: &Verify, console: &Console) -> Result<(), CliError> {
    let options = Options {
        all: command.all,
        full: command.full,
        scratch: std::env::temp_dir(),
        parallelism: super::args::PARALLELISM,
        had: None,
    };
    let mut worst = Outcome::Ok;
    let mut answers = Vec::new();
    for replicas in replicas::open_all(&command.sources, &command.config, command.replica.as_deref(), console)? {
        for replica in &replicas.backends {
            let (outcome, mut answer, text) = if command.last {
                last(replica)?
            } else {
                let progress = Terminal::new(*console, !command.json);
                let work = verify(replica, replicas.database.as_deref(), &options, &progress);
                let found = block_on(async { listing::unless_interrupted(work).await })??;
                progress.finish();
                (found.outcome(), found.to_json(), found.to_string())
            };
            worst = worst.max(outcome);
            let database = replicas.database.as_ref().map(|path| path.display().to_string());
            if command.json {
                answer["database"] = database.map_or(Value::Null, Value::from);
                answers.push(answer);
            } else {
                console.table(&format!("{}{text}", database.map_or_else(String::new, |d| format!("{d}, "))));
            }
        }
    }
    if command.json {
        console.json(&Value::Array(answers));
    }
    match worst {
        Outcome::Ok => Ok(()),
        Outcome::Inconclusive => Err(CliError::Inconclusive),
        Outcome::Failed => Err(CliError::VerifyFailed),
    }
}

/// What is kept beside `replica`.
fn last(replica: &NamedBackend) -> Result<(Outcome, Value, String), CliError> {
    let name = &replica.name;
    let why = match block_on(Kept::read(replica.backend.as_ref()))? {
        Ok(Some(kept)) => return Ok((kept.outcome, kept.answer.clone(), kept.to_string())),
        Ok(None) => {
            "no verification has been kept yet: validation-interval is not set, or nothing was shipped".to_owned()
        }
        Err(error) => format!("it cannot be read: {error}"),
    };
    let answer = json!({ "replica": name, "result": Outcome::Inconclusive.name(), "open": [why] });
    Ok((
        Outcome::Inconclusive,
        answer,
        format!("replica {name}: {}\n  not known: {why}\n", Outcome::Inconclusive.name()),
    ))
}
