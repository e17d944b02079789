//! `doctor`: what keeps databases from being replicated, and whether the stores of their replicas do what they must.
//!
//! Exit code 1 if something will not work. JSON: an array of what `Report::to_json` has.

use serde_json::Value;

use super::args::Doctor;
use super::console::Console;
use super::error::CliError;
use super::{block_on, listing, replicas};
use crate::doctor::{Grade, Report, examine_database, examine_store};

/// Looks at everything that the command names.
pub fn run(command: &Doctor, console: &Console) -> Result<(), CliError> {
    let (mut worst, mut answers) = (Grade::Fine, Vec::new());
    let mut tell = |report: &Report| {
        worst = worst.max(report.grade());
        if command.json {
            answers.push(report.to_json());
        } else {
            console.table(&report.to_string());
        }
    };
    for replicas in replicas::open_all(&command.sources, &command.config, command.replica.as_deref(), console)? {
        if let Some(database) = &replicas.database {
            tell(&examine_database(database));
        }
        for replica in &replicas.backends {
            let work = examine_store(&replica.name, replica.backend.as_ref());
            tell(&block_on(async { listing::unless_interrupted(work).await })??);
        }
    }
    if command.json {
        console.json(&Value::Array(answers));
    }
    if worst == Grade::Wrong { Err(CliError::Unwell) } else { Ok(()) }
}
