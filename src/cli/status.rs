//! `status`: what the replicator is doing, from the files that it leaves in the state folders. Nothing is sent.
//!
//! Exit codes: 0 if all is well, else 1. JSON: an array of objects with `path`, `running` (whether a replicator lives,
//! or null if nobody knows), `problem` (a text, or null if all is well), `wal_bytes` (size of the WAL now) and what
//! [`DatabaseStatus`] has; each of its replicas has also `problem` and `lag_ms` (age of the oldest commit that it
//! lacks; 0 if none).

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Status;
use super::console::Console;
use super::error::CliError;
use super::{duration, replicas, table::Table};
use crate::config::DatabaseConfig;
use crate::daemon::status::{self, DatabaseStatus, ReplicaReport, ReplicaState, Requests, Result as Done, State};
use crate::types::{Clock, SystemClock, Timestamp, sidecar};

/// Prints what is known of the databases, and fails if something is not well.
pub fn run(command: &Status, console: &Console) -> Result<(), CliError> {
    let (config, environment) = replicas::load_config(&command.config, console)?;
    let databases: Vec<&DatabaseConfig> = match command.databases.as_slice() {
        [] => config.databases.iter().collect(),
        paths => paths.iter().map(|path| config.database(path, &environment)).collect::<Result<_, _>>()?,
    };
    let now = SystemClock.now();
    let known: Vec<Known> = databases.into_iter().map(|database| Known::of(database, command.max_lag, now)).collect();
    if command.json {
        console.json(&Value::Array(known.iter().map(|known| known.to_json(now)).collect()));
    } else {
        console.table(&text(&known, now));
    }
    if known.iter().all(Known::is_well) { Ok(()) } else { Err(CliError::Unwell) }
}

/// What is known of a database.
struct Known {
    path: String,
    status: DatabaseStatus,
    /// Whether a replicator lives; `None` if nobody can know.
    running: Option<bool>,
    wal_bytes: u64,
    problem: Option<String>,
    /// One for each replica.
    problems: Vec<Option<String>>,
}

impl Known {
    fn of(database: &DatabaseConfig, max_lag: Duration, now: Timestamp) -> Self {
        let wal_bytes = fs::metadata(sidecar(&database.path, "-wal")).map_or(0, |wal| wal.len());
        let path = database.path.display().to_string();
        let (mut status, running) = match status::read(&database.meta_path) {
            Some((status, lives)) => (status, Some(lives)),
            None if database.path.exists() => (DatabaseStatus::default(), Some(false)),
            None => (DatabaseStatus { state: State::NoDatabase, ..DatabaseStatus::default() }, None),
        };
        if status.replicas.is_empty() {
            let named = |name: &String| ReplicaReport { name: name.clone(), ..ReplicaReport::default() };
            status.replicas = database.replicas.iter().map(|replica| named(&replica.name)).collect();
        }
        let problem = database_problem(&status, running);
        let problems = match problem {
            None => status.replicas.iter().map(|replica| replica_problem(replica, max_lag, now)).collect(),
            Some(_) => vec![None; status.replicas.len()],
        };
        Self { path, status, running, wal_bytes, problem, problems }
    }

    fn is_well(&self) -> bool {
        self.problem.is_none() && self.problems.iter().all(Option::is_none)
    }

    fn to_json(&self, now: Timestamp) -> Value {
        let mut answer = serde_json::to_value(&self.status).unwrap_or_default();
        answer["path"] = self.path.clone().into();
        answer["running"] = json!(self.running);
        answer["wal_bytes"] = self.wal_bytes.into();
        answer["problem"] = json!(self.problem);
        for (number, (replica, problem)) in self.status.replicas.iter().zip(&self.problems).enumerate() {
            answer["replicas"][number]["problem"] = json!(problem);
            answer["replicas"][number]["lag_ms"] =
                replica.behind_since_ms.map_or(0, |at| now.0.saturating_sub(at)).into();
        }
        answer
    }

    fn state(&self, replica: &ReplicaReport) -> &'static str {
        match (self.running, self.status.state, replica.state) {
            (Some(false), ..) => "not running",
            (_, State::NoDatabase, _) => "no database",
            (_, State::Resting, _) => "resting",
            (_, _, ReplicaState::Failing) => "failing",
            (_, State::Waiting, _) | (.., ReplicaState::Waiting) => "waiting",
            (.., ReplicaState::NeedsSnapshot) => "needs snapshot",
            (.., ReplicaState::TakesSnapshot) => "takes snapshot",
            (.., ReplicaState::Following) if replica.behind_commits > 0 => "behind",
            (.., ReplicaState::Following) => "following",
        }
    }
}

fn database_problem(status: &DatabaseStatus, running: Option<bool>) -> Option<String> {
    match (running, status.state) {
        (Some(false), _) if status.written_ms > 0 => {
            Some(format!("no replicator is running; the last one was seen at {}", Timestamp(status.written_ms)))
        }
        (Some(false), _) => Some("no replicator is running".to_owned()),
        (_, State::Waiting) => status.reason.as_ref().map(|reason| format!("it cannot be followed: {reason}")),
        _ => None,
    }
}

fn replica_problem(replica: &ReplicaReport, max_lag: Duration, now: Timestamp) -> Option<String> {
    let is_long = |since: u64| u128::from(now.0.saturating_sub(since)) > max_lag.as_millis();
    let (reason, word) = (replica.reason.as_deref(), replica.failing.as_deref().unwrap_or("other"));
    match (replica.failing_since_ms, replica.behind_since_ms) {
        (Some(since), _) if replica.needs_operator || is_long(since) => {
            Some(format!("{word} for {}: {}", age(now, since), reason.unwrap_or_default()))
        }
        (_, Some(since)) if is_long(since) => Some(format!("it is behind by {}", age(now, since))),
        _ => replica.verify.as_ref().filter(|verify| !verify.fine).map(|_| "the last verification failed".to_owned()),
    }
}

fn text(known: &[Known], now: Timestamp) -> String {
    let mut table = Table::new(["database", "replica", "state", "behind", "shipped", "position", "wal"]);
    let mut notes = String::new();
    for known in known {
        for (replica, problem) in known.status.replicas.iter().zip(&known.problems) {
            let behind = match replica.behind_since_ms {
                Some(since) => {
                    format!("{}, {} commits, {} bytes", age(now, since), replica.behind_commits, replica.behind_bytes)
                }
                None => "-".to_owned(),
            };
            table.push([
                known.path.clone(),
                replica.name.clone(),
                known.state(replica).to_owned(),
                behind,
                replica.shipped_ms.map_or_else(|| "-".to_owned(), |at| format!("{} ago", age(now, at))),
                replica.position.clone().unwrap_or_else(|| "-".to_owned()),
                known.wal_bytes.to_string(),
            ]);
            note(&mut notes, known, replica, problem.as_deref(), now);
        }
        if let Some(problem) = &known.problem {
            let _ = writeln!(notes, "{}: {problem}", known.path);
        }
        if let Some(conflict) = &known.status.last_conflict {
            let _ = writeln!(notes, "{}: {conflict}", known.path);
        }
        let lock = known.status.write_lock;
        if lock.count > 0 {
            let micros = |us: u64| {
                duration::go_duration(duration::truncated(i64::try_from(us).unwrap_or(i64::MAX).saturating_mul(1000)))
            };
            let _ = writeln!(
                notes,
                "{}: {} handovers; the write lock was held {} times: p50 {}, p99 {}, at most {}",
                known.path,
                known.status.handovers,
                lock.count,
                micros(lock.p50_us),
                micros(lock.p99_us),
                micros(lock.max_us)
            );
        }
    }
    table.render() + &notes
}

fn note(notes: &mut String, known: &Known, replica: &ReplicaReport, problem: Option<&str>, now: Timestamp) {
    let who = format!("{}, {}", known.path, replica.name);
    if let Some(problem) = problem {
        let _ = writeln!(notes, "{who}: {problem}");
    }
    if known.running == Some(true) {
        let _ = writeln!(notes, "{who}: {}", requests(&replica.requests));
    }
    let done = |what: &str, done: &Done| format!("{who}: {what} {} ago: {}\n", age(now, done.time_ms), done.says);
    notes.extend(replica.verify.as_ref().map(|verify| done("verified", verify)));
    notes.extend(replica.retention.as_ref().map(|retention| done("retention", retention)));
}

fn requests(requests: &Requests) -> String {
    let Requests { put, get, head, list, delete } = requests;
    let errors = put.errors + get.errors + head.errors + list.errors + delete.errors;
    format!(
        "{} put ({} bytes), {} get ({} bytes), {} head, {} list, {} delete; {errors} failed",
        put.requests, put.bytes, get.requests, get.bytes, head.requests, list.requests, delete.requests
    )
}

fn age(now: Timestamp, since_ms: u64) -> String {
    duration::lag(now, Some(Timestamp(since_ms.min(now.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(10_000_000);
    const LAG: Duration = Duration::from_secs(60);

    #[test]
    fn what_passes_by_itself_is_a_problem_when_it_lasts_and_what_does_not_at_once() {
        let failing = |needs_operator, ago: u64| ReplicaReport {
            needs_operator,
            failing_since_ms: Some(NOW.0 - ago),
            failing: Some("no-bucket".to_owned()),
            reason: Some("create it".to_owned()),
            ..ReplicaReport::default()
        };
        let problem = |replica: &ReplicaReport| replica_problem(replica, LAG, NOW);
        assert_eq!(problem(&failing(true, 1000)).as_deref(), Some("no-bucket for 1s: create it"));
        assert_eq!(problem(&failing(false, 60_000)), None);
        assert_eq!(problem(&failing(false, 60_001)).as_deref(), Some("no-bucket for 1m0s: create it"));
        let behind = |ago: u64| ReplicaReport { behind_since_ms: Some(NOW.0 - ago), ..ReplicaReport::default() };
        assert_eq!(problem(&behind(60_000)), None);
        assert_eq!(problem(&behind(61_000)).as_deref(), Some("it is behind by 1m1s"));
        let verified = |fine| {
            let verify = Some(Done { time_ms: 1, fine, says: String::new() });
            problem(&ReplicaReport { verify, ..ReplicaReport::default() })
        };
        assert!(verified(true).is_none() && verified(false).is_some());
    }

    #[test]
    fn a_database_that_is_not_there_yet_is_no_problem_and_one_that_nobody_follows_is() {
        let status = |state, reason: Option<&str>| DatabaseStatus {
            state,
            reason: reason.map(str::to_owned),
            ..DatabaseStatus::default()
        };
        assert_eq!(database_problem(&status(State::NoDatabase, Some("there is none")), None), None);
        assert_eq!(database_problem(&status(State::NoDatabase, Some("there is none")), Some(true)), None);
        assert!(database_problem(&status(State::Waiting, Some("locked")), Some(true)).unwrap().contains("locked"));
        assert!(database_problem(&status(State::Following, None), Some(false)).unwrap().contains("no replicator"));
        assert_eq!(database_problem(&status(State::Following, None), Some(true)), None);
    }
}
