//! `snapshots`: the snapshots that a replica holds.
//!
//! JSON: `replica`, `generation`, `index` (integer), `size` (stored bytes), `created` (the store's time, RFC 3339 with
//! milliseconds).

use serde_json::json;

use super::args::Snapshots;
use super::console::Console;
use super::error::CliError;
use super::{block_on, listing, replicas};

/// Prints the snapshots of every replica.
pub fn run(command: &Snapshots, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let (listed, outcome) = block_on(listing::of_each(&replicas, console, async |_| Ok(())))?;
    let mut rows = Vec::new();
    for (source, ()) in &listed {
        for entry in source.catalog.histories().flat_map(|h| &h.snapshots) {
            let (generation, index) = (entry.name.generation().to_string(), entry.name.index().get());
            let cells = [
                source.name.clone(),
                generation.clone(),
                index.to_string(),
                entry.stored_bytes.to_string(),
                entry.modified.to_seconds_text(),
            ];
            let object = json!({
                "replica": source.name,
                "generation": generation,
                "index": index,
                "size": entry.stored_bytes,
                "created": entry.modified.to_string(),
            });
            rows.push((cells, object));
        }
    }
    listing::print(["replica", "generation", "index", "size", "created"], rows, command.json, console);
    outcome
}
