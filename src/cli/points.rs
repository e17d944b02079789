//! `points`: what can be restored.
//!
//! JSON: `replica`, `generation`, `earliest`, `latest` (RFC 3339 with milliseconds), `granularity` (`commit` or
//! `segment`), `gaps` (a list of `from` and `to`, by the store's times), `kept_in_gaps` (number of single states there),
//! `size` (stored bytes), `restore_ms` (estimate for the latest state), `reason` (or null). With `-around`: `replica`,
//! `generation`, `index`, `offset`, `time`, `pages`.

use serde_json::{Value, json};

use super::args::Points;
use super::console::Console;
use super::error::CliError;
use super::{block_on, duration, listing, replicas};
use crate::history::{Bounds, History, NeedsSeals, ObjectName, Run, Target, plan_key, runs};
use crate::restore::{self, Choice, RestoreRequest, Silent, Source};
use crate::types::Timestamp;

/// What an estimate supposes: stored bytes a millisecond, and milliseconds an object.
const BYTES_PER_MS: u64 = 50_000;
const OBJECT_MS: u64 = 2;
/// So many commits before and after a time are shown.
const AROUND: usize = 10;

/// Prints what every replica can restore, or the commits around a time.
pub fn run(command: &Points, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    if let Some(time) = command.around {
        return around(&replicas, time, command.json, console);
    }
    let (listed, outcome) = block_on(listing::of_each(&replicas, console, async |s| s.bounds(None).await))?;
    let mut rows = Vec::new();
    for (source, generations) in &listed {
        for (generation, bounds) in generations {
            rows.extend(source.catalog.history(*generation).map(|history| row(source, history, *bounds)));
        }
    }
    let heading = ["replica", "generation", "earliest", "latest", "granularity", "gaps", "size", "restore", "reason"];
    listing::print(heading, rows, command.json, console);
    outcome
}

fn row(source: &Source, history: &History, bounds: Bounds) -> ([String; 9], Value) {
    let runs = runs(history);
    let first = runs.first().map(|run| run.first.name);
    let sealed = history.last().is_some_and(|last| source.seals.known(&last.name).is_some());
    let origin = first.and_then(|name| source.seals.known(&name));
    let earliest = origin.map_or_else(|| runs.first().map(|run| run.first.modified), |seal| Some(seal.time));
    let reason = origin.map(|seal| seal.reason.clone()).filter(|reason| !reason.is_empty());
    let gaps: Vec<Value> = runs.windows(2).map(gap).collect();
    let kept = runs.windows(2).map(|pair| kept_between(history, pair)).sum::<usize>();
    let size: u64 = history.entries().map(|e| e.stored_bytes).sum();
    let restore_ms = estimate_ms(history);
    let unit = if sealed { "commit" } else { "segment" };
    let granularity = if kept > 0 { format!("{unit}, {kept} states in gaps") } else { unit.to_owned() };
    let cells = [
        source.name.clone(),
        history.generation.to_string(),
        earliest.map_or_else(|| "-".to_owned(), Timestamp::to_seconds_text),
        bounds.end.to_seconds_text(),
        granularity,
        gaps.len().to_string(),
        size.to_string(),
        restore_ms.map_or_else(|| "-".to_owned(), restore_text),
        reason.clone().unwrap_or_else(|| "-".to_owned()),
    ];
    let object = json!({
        "replica": source.name,
        "generation": history.generation.to_string(),
        "earliest": earliest.map(|time| time.to_string()),
        "latest": bounds.end.to_string(),
        "granularity": unit,
        "gaps": gaps,
        "kept_in_gaps": kept,
        "size": size,
        "restore_ms": restore_ms,
        "reason": reason,
    });
    (cells, object)
}

fn restore_text(milliseconds: u64) -> String {
    let nanoseconds = i64::try_from(milliseconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    duration::go_duration(duration::truncated(nanoseconds))
}

fn gap(pair: &[Run<'_>]) -> Value {
    json!({ "from": pair[0].last.modified.to_string(), "to": pair[1].first.modified.to_string() })
}

/// States that merged ranges lead to between two runs.
fn kept_between(history: &History, pair: &[Run<'_>]) -> usize {
    let (from, to) = (pair[0].last.name.index(), pair[1].first.name.index());
    let ends = history.ranges.iter().filter_map(|e| e.name.range()).map(|range| range.to);
    ends.filter(|end| *end > from && *end < to).count()
}

/// For the newest snapshot and everything after it.
fn estimate_ms(history: &History) -> Option<u64> {
    let snapshot = history.snapshots.last()?;
    let segments = history.segments_from(snapshot.name.index());
    let bytes = snapshot.stored_bytes + segments.iter().map(|e| e.stored_bytes).sum::<u64>();
    Some(bytes / BYTES_PER_MS + OBJECT_MS * (1 + segments.len() as u64))
}

fn around(replicas: &replicas::Replicas, time: Timestamp, json: bool, console: &Console) -> Result<(), CliError> {
    let request = RestoreRequest {
        target: Target::Time(time),
        generation: None,
        txid: None,
        output: std::path::PathBuf::new(),
        parallelism: 1,
    };
    let mut rows = Vec::new();
    for replica in &replicas.backends {
        let found = block_on(async {
            let choice = restore::plan(std::slice::from_ref(replica), &request, &Silent).await?;
            let Choice::Generation(choice) = choice else { return Ok(Vec::new()) };
            let last = choice.plan.objects().last().map(|object| object.name);
            commits(choice.source, last, &replica.name).await
        })?;
        rows.extend(nearest(found?, time));
    }
    listing::print(["replica", "generation", "index", "offset", "time", "pages"], rows, json, console);
    Ok(())
}

type Row = (Timestamp, ([String; 6], Value));

/// The commits of the objects around `last`, in order.
async fn commits(mut source: Source, last: Option<ObjectName>, replica: &str) -> Result<Vec<Row>, CliError> {
    let Some(last) = last else { return Ok(Vec::new()) };
    let names: Vec<ObjectName> = match source.catalog.history(last.generation()) {
        Some(history) => {
            let at = history.segments.partition_point(|e| e.name < last);
            let from = at.saturating_sub(AROUND);
            history.segments[from..].iter().take(2 * AROUND + 1).map(|e| e.name).collect()
        }
        None => Vec::new(),
    };
    source.learn(&NeedsSeals(names.clone())).await.map_err(CliError::Store)?;
    let mut rows = Vec::new();
    for name in names {
        let Some(seal) = source.seals.known(&name) else { return Err(CliError::NoCommits(plan_key(&name))) };
        for commit in &seal.commits {
            let cells = [
                replica.to_owned(),
                name.generation().to_string(),
                name.index().get().to_string(),
                commit.end.to_string(),
                commit.time.to_string(),
                commit.size.to_string(),
            ];
            let object = json!({
                "replica": replica,
                "generation": name.generation().to_string(),
                "index": name.index().get(),
                "offset": commit.end.0,
                "time": commit.time.to_string(),
                "pages": commit.size.0,
            });
            rows.push((commit.time, (cells, object)));
        }
    }
    Ok(rows)
}

fn nearest(rows: Vec<Row>, time: Timestamp) -> impl Iterator<Item = ([String; 6], Value)> {
    let before = rows.partition_point(|(at, _)| *at <= time);
    rows.into_iter().skip(before.saturating_sub(AROUND)).take(AROUND + before.min(AROUND)).map(|(_, row)| row)
}
