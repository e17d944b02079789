//! `point`: names for states, which retention then keeps.
//!
//! JSON of `point list`: `replica`, `name`, `generation`, `index`, `offset`, `time`, `created` (RFC 3339 with
//! milliseconds), `digest` (hex, or null), `meta` (an object of texts).

use bytes::Bytes;
use replica_backends::ErrorKind;
use serde_json::json;

use super::args::{Point, PointAction};
use super::console::Console;
use super::error::CliError;
use super::replicas::Replicas;
use super::{block_on, listing, replicas};
use crate::history::point::Point as NamedPoint;
use crate::history::retention::Policy;
use crate::history::{PlannedEnd, Target, keys};
use crate::restore::{self, Choice, NamedBackend, RestoreRequest, Silent, read_points};
use crate::types::{Clock, Position, SystemClock};

/// Creates, lists or deletes.
pub fn run(command: &Point, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    match &command.action {
        PointAction::List => list(&replicas, command.json, console),
        PointAction::Create { name, .. } => {
            on_each(&replicas, console, name, &async |r, _| create(r, command, name).await)
        }
        PointAction::Delete { name } => on_each(&replicas, console, name, &async |r, p| delete(r, p, name).await),
    }
}

/// Does `work` with every replica; every failure is told, and is one at the end.
fn on_each(
    replicas: &Replicas,
    console: &Console,
    name: &str,
    work: &impl AsyncFn(&NamedBackend, &Policy) -> Result<String, CliError>,
) -> Result<(), CliError> {
    let mut failed = 0;
    for (replica, policy) in replicas.backends.iter().zip(&replicas.policies) {
        match block_on(work(replica, policy))? {
            Ok(done) => console.say(&format!("replica {}: {done}", replica.name)),
            Err(error) => {
                failed += 1;
                console.say(&format!("replica {}: point {name}: {error}", replica.name));
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(CliError::Points { failed, all: replicas.backends.len() }) }
}

/// Names the newest state of the replica, or the one at a time.
async fn create(replica: &NamedBackend, command: &Point, name: &str) -> Result<String, CliError> {
    let PointAction::Create { at, meta, .. } = &command.action else { return Ok(String::new()) };
    let request = RestoreRequest {
        target: at.map_or(Target::Latest, Target::Time),
        generation: None,
        txid: None,
        output: std::path::PathBuf::new(),
        parallelism: 1,
    };
    let choice = restore::plan(std::slice::from_ref(replica), &request, &Silent).await?;
    let Choice::Generation(choice) = choice else { return Err(CliError::NoProof) };
    let PlannedEnd::Commit { at: (index, offset), time, digest, .. } = choice.plan.end else {
        return Err(CliError::NoProof);
    };
    let position = Position { generation: choice.plan.generation, index, offset };
    let created = SystemClock.now();
    let point = NamedPoint { name: name.to_owned(), position, time, digest, created, meta: meta.clone() };
    let body = Bytes::from(point.to_json());
    replica.backend.put_new(&keys::point(name), body.into()).await.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::PointExists,
        _ => CliError::Store(error),
    })?;
    Ok(format!("point {name} is the commit of {time} at {position}"))
}

async fn delete(replica: &NamedBackend, policy: &Policy, name: &str) -> Result<String, CliError> {
    if policy.append_only {
        return Err(CliError::AppendOnly);
    }
    let key = keys::point(name);
    replica.backend.head(&key).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => CliError::PointMissing,
        _ => CliError::Store(error),
    })?;
    match replica.backend.delete(&[key]).await.pop() {
        Some(Err(error)) => Err(CliError::Store(error)),
        _ => Ok(format!("point {name} is deleted; what only it needed goes with the next retention")),
    }
}

fn list(replicas: &Replicas, json: bool, console: &Console) -> Result<(), CliError> {
    let read = async |source: &mut restore::Source| read_points(source.backend.as_ref()).await;
    let (listed, outcome) = block_on(listing::of_each(replicas, console, read))?;
    let mut rows = Vec::new();
    for (source, points) in &listed {
        for point in points {
            let meta: Vec<String> = point.meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let cells = [
                source.name.clone(),
                point.name.clone(),
                point.time.to_string(),
                point.position.to_string(),
                meta.join(" "),
            ];
            let object = json!({
                "replica": source.name,
                "name": point.name,
                "generation": point.position.generation.to_string(),
                "index": point.position.index.get(),
                "offset": point.position.offset.0,
                "time": point.time.to_string(),
                "created": point.created.to_string(),
                "digest": point.digest.map(|digest| digest.to_string()),
                "meta": point.meta,
            });
            rows.push((cells, object));
        }
    }
    listing::print(["replica", "name", "time", "position", "meta"], rows, json, console);
    outcome
}
