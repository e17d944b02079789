//! `generations`: the histories that a replica holds, and from when to when they reach.
//!
//! JSON: `replica`, `generation`, `lag_ms` (integer, may be negative), `start`, `end` (RFC 3339 with milliseconds),
//! `sealed` (whether Lightship wrote it), `restorable` (whether it has a snapshot), `snapshots`, `segments` (numbers of
//! objects), `stored_bytes`, `state` (see below), `reason` (why it began, or null), `parent` (the history it continues:
//! `generation`, `index`, `offset`, or null). What Litestream 0.5 wrote is one row, with the generation `ltx`.
//!
//! States: `newest` reaches furthest, `forked` is the parent of another, `older` is neither, and `no snapshot` cannot
//! be restored.

use std::path::Path;

use serde_json::{Value, json};

use super::args::Generations;
use super::console::Console;
use super::error::CliError;
use super::{block_on, duration, listing, replicas};
use crate::history::{Bounds, History};
use crate::restore::Source;
use crate::segment::Seal;
use crate::types::{Clock, Generation, SystemClock, Timestamp, sidecar};

/// Prints the generations of every replica.
pub fn run(command: &Generations, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let changed = replicas.database.as_deref().and_then(last_change).unwrap_or_else(|| SystemClock.now());
    let (listed, outcome) =
        block_on(listing::of_each(&replicas, console, async |s| Ok((s.bounds(None).await?, s.ltx.bounds().await?))))?;
    let mut rows = Vec::new();
    for (source, (generations, ltx)) in &listed {
        rows.extend(ltx.map(|bounds| ltx_row(source, bounds, changed)));
        let origins: Vec<Option<&Seal>> = generations.iter().map(|(g, _)| origin(source, *g)).collect();
        let newest = generations.iter().max_by_key(|(_, bounds)| bounds.end).map(|(g, _)| *g);
        let is_parent = |g| origins.iter().flatten().any(|seal| seal.parent.is_some_and(|p| p.generation == g));
        for ((generation, bounds), origin) in generations.iter().zip(&origins) {
            let Some(history) = source.catalog.history(*generation) else { continue };
            let state = match () {
                () if history.snapshots.is_empty() => "no snapshot",
                () if newest == Some(*generation) => "newest",
                () if is_parent(*generation) => "forked",
                () => "older",
            };
            rows.push(row(source, history, *bounds, changed, state, *origin));
        }
    }
    listing::print(
        ["name", "generation", "lag", "start", "end", "parent", "state", "reason"],
        rows,
        command.json,
        console,
    );
    outcome
}

/// The seal of the snapshot with which a generation begins.
fn origin(source: &Source, generation: Generation) -> Option<&Seal> {
    source.seals.known(&source.catalog.history(generation)?.snapshots.first()?.name)
}

fn row(
    source: &Source,
    history: &History,
    bounds: Bounds,
    changed: Timestamp,
    state: &str,
    origin: Option<&Seal>,
) -> ([String; 8], Value) {
    let parent = origin.and_then(|seal| seal.parent);
    let reason = origin.map(|seal| seal.reason.clone()).filter(|reason| !reason.is_empty());
    let none = || "-".to_owned();
    let cells = [
        source.name.clone(),
        history.generation.to_string(),
        duration::lag(changed, Some(bounds.end)),
        bounds.begin.to_seconds_text(),
        bounds.end.to_seconds_text(),
        parent.map_or_else(none, |parent| parent.to_string()),
        state.to_owned(),
        reason.clone().unwrap_or_else(none),
    ];
    let parent = parent.map(|parent| {
        json!({
            "generation": parent.generation.to_string(),
            "index": parent.index.get(),
            "offset": parent.offset.0,
        })
    });
    let object = json!({
        "replica": source.name,
        "generation": history.generation.to_string(),
        "lag_ms": i128::from(changed.0) - i128::from(bounds.end.0),
        "start": bounds.begin.to_string(),
        "end": bounds.end.to_string(),
        "sealed": history.last().is_some_and(|last| source.seals.known(&last.name).is_some()),
        "restorable": !history.snapshots.is_empty(),
        "snapshots": history.snapshots.len(),
        "segments": history.segments.len(),
        "stored_bytes": history.entries().map(|e| e.stored_bytes).sum::<u64>(),
        "state": state,
        "reason": reason,
        "parent": parent,
    });
    (cells, object)
}

/// The files of Litestream 0.5 have no generations: they are one history, shown under the name "ltx".
fn ltx_row(source: &Source, bounds: Bounds, changed: Timestamp) -> ([String; 8], Value) {
    let none = || "-".to_owned();
    let cells = [
        source.name.clone(),
        "ltx".to_owned(),
        duration::lag(changed, Some(bounds.end)),
        bounds.begin.to_seconds_text(),
        bounds.end.to_seconds_text(),
        none(),
        none(),
        none(),
    ];
    let entries = source.ltx.catalog.entries();
    let snapshots = entries.iter().filter(|e| e.name.is_whole()).count();
    let object = json!({
        "replica": source.name,
        "generation": "ltx",
        "lag_ms": i128::from(changed.0) - i128::from(bounds.end.0),
        "start": bounds.begin.to_string(),
        "end": bounds.end.to_string(),
        "sealed": false,
        "restorable": snapshots > 0,
        "snapshots": snapshots,
        "segments": entries.len() - snapshots,
        "stored_bytes": entries.iter().map(|e| e.stored_bytes).sum::<u64>(),
    });
    (cells, object)
}

/// When the database or its WAL was last written; `None` if it is gone, which is when this command is needed most.
fn last_change(database: &Path) -> Option<Timestamp> {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok().map(Timestamp::from);
    let main = modified(database)?;
    Some(modified(&sidecar(database, "-wal")).map_or(main, |wal| main.max(wal)))
}
