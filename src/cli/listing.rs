//! What the listing commands have in common: every replica is read, and one that cannot be is an error at the end.

use replica_backends::ErrorKind;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::console::Console;
use super::error::CliError;
use super::replicas::Replicas;
use super::table::Table;
use crate::restore::Source;

/// How often a replica is listed that changes meanwhile.
const LISTINGS_MAX: usize = 5;

/// Reads every replica with `read`, and returns those that could be read with their results.
pub async fn of_each<T>(
    replicas: &Replicas,
    console: &Console,
    read: impl AsyncFn(&mut Source) -> replica_backends::Result<T>,
) -> (Vec<(Source, T)>, Result<(), CliError>) {
    let mut listed = Vec::new();
    for replica in &replicas.backends {
        let opened = async || {
            let mut source = Source::open(replica).await?;
            let value = read(&mut source).await?;
            Ok::<_, replica_backends::Error>((source, value))
        };
        let mut listing = opened().await;
        for _ in 1..LISTINGS_MAX {
            // What was listed may have been merged or deleted before it was read.
            if listing.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                listing = opened().await;
            }
        }
        match listing {
            Ok(pair) => listed.push(pair),
            Err(error) => console.say(&format!("cannot list replica {}: {error}", replica.name)),
        }
    }
    let (all, unread) = (replicas.backends.len(), replicas.backends.len() - listed.len());
    let outcome = if unread == 0 { Ok(()) } else { Err(CliError::Unlisted { unread, all }) };
    (listed, outcome)
}

/// Prints the rows: as a table, or as a JSON array of objects.
pub fn print<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: Vec<([String; COLUMNS], Value)>,
    json: bool,
    console: &Console,
) {
    if json {
        console.json(&Value::Array(rows.into_iter().map(|(_, object)| object).collect()));
        return;
    }
    let mut table = Table::new(heading);
    for (cells, _) in rows {
        table.push(cells);
    }
    console.table(&table.render());
}

/// Gives up when told to, so that what has been begun is removed.
pub async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    tokio::select! {
        done = work => Ok(done),
        _ = terminate.recv() => Err(CliError::Interrupted),
        _ = interrupt.recv() => Err(CliError::Interrupted),
    }
}
