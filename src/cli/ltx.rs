//! `ltx`: the files that Litestream 0.5 wrote to a replica.
//!
//! JSON: `replica`, `level` (integer), `min_txid`, `max_txid` (16 hex digits), `size` (stored bytes), `created` (the
//! store's time, RFC 3339 with milliseconds).

use serde_json::json;

use super::args::Ltx;
use super::console::Console;
use super::error::CliError;
use super::{block_on, listing, replicas};

/// Prints the LTX files of every replica.
pub fn run(command: &Ltx, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let (listed, outcome) = block_on(listing::of_each(&replicas, console, async |_| Ok(())))?;
    let mut rows = Vec::new();
    for (source, ()) in &listed {
        let wanted = |level| command.level.is_none_or(|only| only == level);
        for entry in source.ltx.catalog.entries().iter().filter(|e| wanted(e.name.level)) {
            let (min, max) = (entry.name.min.to_string(), entry.name.max.to_string());
            let cells = [
                source.name.clone(),
                entry.name.level.to_string(),
                min.clone(),
                max.clone(),
                entry.stored_bytes.to_string(),
                entry.modified.to_seconds_text(),
            ];
            let object = json!({
                "replica": source.name,
                "level": entry.name.level.get(),
                "min_txid": min,
                "max_txid": max,
                "size": entry.stored_bytes,
                "created": entry.modified.to_string(),
            });
            rows.push((cells, object));
        }
    }
    listing::print(["replica", "level", "min_txid", "max_txid", "size", "created"], rows, command.json, console);
    outcome
}
