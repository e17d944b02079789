//! `wal`: the WAL segments that a replica holds.
//!
//! JSON: `replica`, `generation`, `index`, `offset` (integers), `size` (stored bytes), `created` (the store's time,
//! RFC 3339 with milliseconds).

use serde_json::json;

use super::args::Wal;
use super::console::Console;
use super::error::CliError;
use super::{block_on, listing, replicas};

/// Prints the segments of every replica.
pub fn run(command: &Wal, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let (listed, outcome) = block_on(listing::of_each(&replicas, console, async |_| Ok(())))?;
    let mut rows = Vec::new();
    for (source, ()) in &listed {
        let wanted = |generation| command.generation.is_none_or(|only| only == generation);
        for entry in source.catalog.histories().filter(|h| wanted(h.generation)).flat_map(|h| &h.segments) {
            let (generation, index) = (entry.name.generation().to_string(), entry.name.index().get());
            let cells = [
                source.name.clone(),
                generation.clone(),
                index.to_string(),
                entry.name.offset().to_string(),
                entry.stored_bytes.to_string(),
                entry.modified.to_seconds_text(),
            ];
            let object = json!({
                "replica": source.name,
                "generation": generation,
                "index": index,
                "offset": entry.name.offset().0,
                "size": entry.stored_bytes,
                "created": entry.modified.to_string(),
            });
            rows.push((cells, object));
        }
    }
    listing::print(["replica", "generation", "index", "offset", "size", "created"], rows, command.json, console);
    outcome
}
