//! `points`: what can be restored.
//!
//! JSON: `replica`, `generation` (`ltx` for the files of Litestream 0.5), `earliest` (or null), `latest` (RFC 3339 with
//! milliseconds), `granularity` (`commit`; `segment` or `file` for what Litestream wrote; `no snapshot` if nothing can
//! be restored), `gaps` (a list of `from` and `to`, the states before and after, and `kept`, those between), `size`
//! (stored bytes), `restore_objects`, `restore_bytes`, `restore_ms` (what the latest state takes, the last an estimate;
//! null if it cannot be restored), `reason` (or null). With `-around`: `replica`, `position` (as `restore -position`
//! takes it), `generation`, `index`, `offset`, `time`, `pages`.

use serde_json::{Value, json};

use super::args::Points;
use super::console::Console;
use super::error::CliError;
use super::{block_on, duration, listing, replicas};
use crate::history::{NeedsSeals, ObjectName, Target, plan_key};
use crate::restore::{self, Choice, Cost, Extent, Gap, Granularity, RestoreRequest, Silent, Source};
use crate::types::{Position, Timestamp};

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
    let (listed, outcome) = block_on(listing::of_each(&replicas, console, async |s| s.extents().await))?;
    let of_source = |(source, extents): &(Source, Vec<Extent>)| {
        extents.iter().map(|extent| row(&source.name, extent)).collect::<Vec<_>>()
    };
    let rows = listed.iter().flat_map(of_source).collect();
    let heading = ["replica", "generation", "earliest", "latest", "granularity", "gaps", "size", "restore", "reason"];
    listing::print(heading, rows, command.json, console);
    outcome
}

fn row(replica: &str, extent: &Extent) -> ([String; 9], Value) {
    let generation = extent.generation.map_or_else(|| "ltx".to_owned(), |generation| generation.to_string());
    let restore_ms = extent.cost.map(estimate_ms);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let unit = name(extent.granularity);
    let cells = [
        replica.to_owned(),
        generation.clone(),
        or_none(extent.earliest.map(Timestamp::to_seconds_text)),
        extent.latest.to_seconds_text(),
        unit.to_owned(),
        gaps_text(&extent.gaps),
        extent.stored_bytes.to_string(),
        or_none(restore_ms.map(restore_text)),
        or_none(extent.reason.clone()),
    ];
    let object = json!({
        "replica": replica,
        "generation": generation,
        "earliest": extent.earliest.map(|time| time.to_string()),
        "latest": extent.latest.to_string(),
        "granularity": unit,
        "gaps": extent.gaps.iter().map(gap).collect::<Vec<_>>(),
        "size": extent.stored_bytes,
        "restore_objects": extent.cost.map(|cost| cost.objects),
        "restore_bytes": extent.cost.map(|cost| cost.stored_bytes),
        "restore_ms": restore_ms,
        "reason": extent.reason,
    });
    (cells, object)
}

fn name(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Commit => "commit",
        Granularity::Segment => "segment",
        Granularity::File => "file",
        Granularity::Nothing => "no snapshot",
    }
}

fn gaps_text(gaps: &[Gap]) -> String {
    let kept: usize = gaps.iter().map(|gap| gap.kept.len()).sum();
    match (gaps.len(), kept) {
        (0, _) => "-".to_owned(),
        (gaps, 0) => gaps.to_string(),
        (gaps, 1) => format!("{gaps} (1 state within)"),
        (gaps, kept) => format!("{gaps} ({kept} states within)"),
    }
}

fn restore_text(milliseconds: u64) -> String {
    let nanoseconds = i64::try_from(milliseconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    duration::go_duration(duration::truncated(nanoseconds))
}

fn gap(gap: &Gap) -> Value {
    let kept: Vec<String> = gap.kept.iter().map(Timestamp::to_string).collect();
    json!({ "from": gap.from.to_string(), "to": gap.to.to_string(), "kept": kept })
}

fn estimate_ms(cost: Cost) -> u64 {
    cost.stored_bytes / BYTES_PER_MS + OBJECT_MS * cost.objects
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
            let Choice::Generation(choice) = choice else { return Err(CliError::Transactions) };
            let last = choice.plan.objects().last().map(|object| object.name);
            commits(choice.source, last, &replica.name).await
        })?;
        rows.extend(nearest(found?, time));
    }
    listing::print(["replica", "position", "time", "pages"], rows, json, console);
    Ok(())
}

type Row = (Timestamp, ([String; 4], Value));

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
            let (generation, index) = (name.generation(), name.index());
            let position = Position { generation, index, offset: commit.end }.to_string();
            let cells = [replica.to_owned(), position.clone(), commit.time.to_string(), commit.size.to_string()];
            let object = json!({
                "replica": replica,
                "position": position,
                "generation": generation.to_string(),
                "index": index.get(),
                "offset": commit.end.0,
                "time": commit.time.to_string(),
                "pages": commit.size.0,
            });
            rows.push((commit.time, (cells, object)));
        }
    }
    Ok(rows)
}

fn nearest(rows: Vec<Row>, time: Timestamp) -> impl Iterator<Item = ([String; 4], Value)> {
    let before = rows.partition_point(|(at, _)| *at <= time);
    rows.into_iter().skip(before.saturating_sub(AROUND)).take(AROUND + before.min(AROUND)).map(|(_, row)| row)
}
