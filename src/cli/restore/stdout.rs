//! A database on standard output.

use std::fs;
use std::io::{IsTerminal, stdout};

use super::one::{Done, restore_one};
use super::terminal::Terminal;
use crate::cli::args::{Restore, Source};
use crate::cli::console::Console;
use crate::cli::error::CliError;
use crate::cli::{block_on, listing, replicas};

/// Restores to a temporary file, where everything is verified before the first byte goes out.
pub fn run(command: &Restore, source: &Source, console: &Console) -> Result<(), CliError> {
    if stdout().is_terminal() {
        return Err(CliError::Terminal);
    }
    let replicas = replicas::open(source, command.replica.as_deref(), console)?;
    let output = std::env::temp_dir().join(format!("lightship-{:016x}.db", fastrand::u64(..)));
    let progress = Terminal::new(*console, command.progress);
    let work = restore_one(replicas, command, &output, command.parallelism, &progress);
    let done = block_on(async { listing::unless_interrupted(work).await })?;
    progress.finish();
    match done?? {
        Done::Restored(report) => {
            // Without a name it is gone however this process ends.
            let opened = fs::File::open(&output).and_then(|file| fs::remove_file(&output).map(|()| file));
            let mut file = opened.map_err(CliError::Stdout)?;
            console.stream(&mut file).map_err(CliError::Stdout)?;
            console.say(&report);
        }
        Done::Skipped(why) => console.say(&why),
        Done::Planned(_) => {}
    }
    Ok(())
}
