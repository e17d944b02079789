//! From what the author typed to what the program needs: defaults, checks, absolute paths.

mod cloud;
mod query;
mod replica;
mod s3;
mod sftp;
mod target;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::duration::GoDuration;
use super::expand::UnsetVariable;
use super::raw::{Interval, List, RawConfig, RawDatabase, RawLogging, RawReplica, Switch, UnusedKey, WholeNumber};
use super::resolved::{Config, DatabaseConfig, LogFormat, LogLevel, Logging, ReplicaConfig, first_repeated};
use super::{ConfigError, Environment, Secret, defaults, replica_url};
use crate::types::Level;

/// Everything that the steps need beside what they resolve, and the warnings they leave.
struct Resolver<'a> {
    /// The file, as it was named.
    file: &'a str,
    environment: &'a Environment,
    /// Variables that were empty for want of being set.
    unset: &'a [UnsetVariable],
    warnings: Vec<String>,
}

/// Resolves a whole configuration.
pub(super) fn resolve(
    raw: RawConfig,
    file: &str,
    environment: &Environment,
    unset: &[UnsetVariable],
) -> Result<Config, ConfigError> {
    let mut resolver = Resolver { file, environment, unset, warnings: Vec::new() };
    for UnsetVariable { name, line } in unset {
        resolver
            .warn(&format!("line {line}"), &format!("environment variable {name} is not set; nothing stands for it"));
    }
    resolver.warn_unused("", &raw.unused);
    let logging = resolver.logging(&raw.logging.clone().unwrap_or_default())?;
    let base = replica::base_of_all(&raw);
    let mut databases = Vec::new();
    for (number, database) in raw.dbs.into_iter().flat_map(|list| list.0).enumerate() {
        databases.push(resolver.database(database, &base, &format!("dbs[{number}]"))?);
    }
    if databases.is_empty() {
        resolver.warn("", "no databases specified in configuration");
    }
    resolver.check_databases(&databases)?;
    check_targets(&databases, file)?;
    let addr = stated(raw.addr.as_ref()).map(str::to_owned);
    resolver.check_addr(addr.as_deref())?;
    let exec = stated(raw.exec.as_ref()).map(str::to_owned);
    Ok(Config { databases, exec, addr, logging, warnings: resolver.warnings })
}

/// The target of a URL of the command line.
pub(super) fn target_from_url(url: &str, environment: &Environment) -> Result<super::ReplicaTarget, ConfigError> {
    let mut resolver = Resolver { file: "", environment, unset: &[], warnings: Vec::new() };
    let raw = RawReplica { url: Some(Secret::new(url)), ..RawReplica::default() };
    let raw = resolver.with_query(raw, "")?;
    resolver.target(&raw, &RawReplica::default(), "")
}

/// Refuses two replicas in one place: they would delete each other's history.
pub(super) fn check_targets(databases: &[DatabaseConfig], file: &str) -> Result<(), ConfigError> {
    let places: Vec<String> =
        databases.iter().flat_map(|db| &db.replicas).map(|replica| replica.target.to_string()).collect();
    match first_repeated(&places) {
        Some(repeated) => Err(ConfigError::invalid(
            file,
            format!("two replicas have the same place: {}; give each its own path", places[repeated]),
        )),
        None => Ok(()),
    }
}

/// The path without the `sqlite://` that Litestream 0.5 allows before it.
pub(super) fn without_sqlite_scheme(path: &Path) -> &Path {
    let Some(text) = path.to_str() else { return path };
    let rest = text.strip_prefix("sqlite3://").or_else(|| text.strip_prefix("sqlite://"));
    rest.map_or(path, Path::new)
}

/// A text that says something; an empty one counts as not given.
fn stated(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl Resolver<'_> {
    fn warn(&mut self, place: &str, message: &str) {
        self.warnings.push(format!("{}: {message}", self.place(place)));
    }

    fn warn_unused(&mut self, place: &str, unused: &[&UnusedKey]) {
        for unused in unused {
            let key = if place.is_empty() { unused.key.to_owned() } else { format!("{place}.{}", unused.key) };
            self.warn(&key, &format!("has no effect; {}", unused.advice));
        }
    }

    /// The file and the place in it.
    fn place(&self, place: &str) -> String {
        match (self.file, place) {
            (file, "") => file.to_owned(),
            ("", place) => place.to_owned(),
            (file, place) => format!("{file}: {place}"),
        }
    }

    fn invalid(&self, place: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::invalid(self.place(place), message)
    }

    /// Something is missing, perhaps because a variable is not set.
    fn missing(&self, place: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { place: self.place(place), message: message.into(), unset: self.unset.to_vec() }
    }

    /// An interval at which something is done; doing it never is no choice.
    fn interval(
        &self,
        place: &str,
        key: &str,
        given: Option<Interval>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        match given.map(|Interval(duration)| duration.positive()) {
            None => Ok(default),
            Some(Some(duration)) => Ok(duration),
            Some(None) => Err(self.invalid(place, format!("{key} must be more than 0, such as 1s"))),
        }
    }

    fn database(&mut self, raw: RawDatabase, base: &RawReplica, place: &str) -> Result<DatabaseConfig, ConfigError> {
        self.warn_unused(place, &raw.unused);
        self.refuse_unsupported(&raw, place)?;
        let path = stated(raw.path.as_ref()).ok_or_else(|| self.missing(place, "database path required"))?;
        let path = self.environment.absolute(without_sqlite_scheme(Path::new(path)));
        let defaults = DatabaseConfig::with_defaults(path);
        let database = DatabaseConfig {
            meta_path: stated(raw.meta_path.as_ref()).map_or(defaults.meta_path, PathBuf::from),
            monitor_interval: self.interval(
                place,
                "monitor-interval",
                raw.monitor_interval,
                defaults.monitor_interval,
            )?,
            checkpoint_interval: positive_or(raw.checkpoint_interval, defaults.checkpoint_interval),
            min_checkpoint_page_count: self.min_page_count(place, raw.min_checkpoint_page_count)?,
            max_checkpoint_page_count: self.max_page_count(place, raw.max_checkpoint_page_count)?,
            max_wal_bytes: self.max_wal_bytes(place, raw.max_wal_mib)?,
            busy_timeout: self.interval(place, "busy-timeout", raw.busy_timeout, defaults.busy_timeout)?,
            merge_intervals: self.merge_intervals(place, raw.merge_intervals)?,
            page_check_interval: positive_or(raw.page_check_interval, defaults.page_check_interval),
            convert_to_wal: raw.convert_to_wal.map_or(defaults.convert_to_wal, |Switch(on)| on),
            path: defaults.path,
            replicas: self.replicas(raw.replica, raw.replicas.map(|list| list.0), raw.snapshot, base, place)?,
        };
        if database.replicas.is_empty() {
            self.warn(place, &format!("{} has no replicas and is not backed up", database.path.display()));
        }
        Ok(database)
    }

    /// An empty list merges nothing.
    fn merge_intervals(
        &self,
        place: &str,
        given: Option<List<Interval>>,
    ) -> Result<[Option<Duration>; Level::COUNT], ConfigError> {
        let Some(List(given)) = given else { return Ok(defaults::MERGE_INTERVALS) };
        let mut intervals = [None; Level::COUNT];
        for (slot, Interval(duration)) in intervals.iter_mut().zip(&given) {
            *slot = duration.positive();
        }
        let stated: Vec<Duration> = intervals.iter().copied().flatten().collect();
        if given.len() == stated.len() && stated.is_sorted_by(|a, b| a < b) {
            return Ok(intervals);
        }
        Err(self.invalid(
            place,
            "merge-intervals takes up to three durations, each longer than the one before, \
                                 such as [5m, 1h, 24h]; [] merges nothing",
        ))
    }

    /// Refuses what cannot be passed over with a warning, because something would not be backed up.
    fn refuse_unsupported(&self, raw: &RawDatabase, place: &str) -> Result<(), ConfigError> {
        if raw.dir.is_some() {
            let message = "dir is not supported yet, and none of its databases would be backed up; \
                           list every database with path";
            return Err(self.invalid(place, message));
        }
        if raw.restore_if_db_not_exists == Some(Switch(true)) {
            let message = "restore-if-db-not-exists is not supported yet; run restore -if-db-not-exists \
                           before replicate";
            return Err(self.invalid(place, message));
        }
        Ok(())
    }

    fn min_page_count(&self, place: &str, given: Option<WholeNumber>) -> Result<u32, ConfigError> {
        let Some(WholeNumber(count)) = given else { return Ok(defaults::MIN_CHECKPOINT_PAGE_COUNT) };
        if count <= 0 {
            return Err(self.invalid(place, "minimum checkpoint page count required; it must be more than 0"));
        }
        self.page_count(place, "min-checkpoint-page-count", count)
    }

    fn max_page_count(&self, place: &str, given: Option<WholeNumber>) -> Result<Option<u32>, ConfigError> {
        match given {
            None => Ok(Some(defaults::MAX_CHECKPOINT_PAGE_COUNT)),
            Some(WholeNumber(count)) if count <= 0 => Ok(None),
            Some(WholeNumber(count)) => self.page_count(place, "max-checkpoint-page-count", count).map(Some),
        }
    }

    fn max_wal_bytes(&self, place: &str, given: Option<WholeNumber>) -> Result<u64, ConfigError> {
        let count = given.map_or(i64::from(defaults::MAX_WAL_MIB), |WholeNumber(count)| count);
        let mib = u32::try_from(count).ok().filter(|mib| *mib >= defaults::MAX_WAL_MIB_LEAST);
        let message = || format!("max-wal-mib must be {} or more", defaults::MAX_WAL_MIB_LEAST);
        mib.map(|mib| u64::from(mib) << 20).ok_or_else(|| self.invalid(place, message()))
    }

    fn page_count(&self, place: &str, key: &str, count: i64) -> Result<u32, ConfigError> {
        u32::try_from(count).map_err(|_| self.invalid(place, format!("{key} is more than {}", u32::MAX)))
    }

    fn logging(&mut self, raw: &RawLogging) -> Result<Logging, ConfigError> {
        self.warn_unused("logging", &raw.unused);
        let level = match stated(raw.level.as_ref()).unwrap_or("info").to_ascii_lowercase().as_str() {
            "trace" | "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" | "warning" => LogLevel::Warn,
            "error" => LogLevel::Error,
            other => {
                self.warn("logging.level", &format!("{other:?} is none of debug, info, warn, error; info is used"));
                LogLevel::Info
            }
        };
        let format = match stated(raw.kind.as_ref()).unwrap_or("text") {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            "pretty" => {
                self.warn("logging.type", "pretty is not supported; text is used");
                LogFormat::Text
            }
            other => return Err(self.invalid("logging.type", format!("{other:?} is neither text nor json"))),
        };
        Ok(Logging { level, format, stderr: raw.stderr.is_some_and(|Switch(on)| on) })
    }

    fn check_addr(&self, addr: Option<&str>) -> Result<(), ConfigError> {
        let Some(addr) = addr else { return Ok(()) };
        let port = addr.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.is_empty() && !port.ends_with(']'));
        match port {
            Some(_) => Ok(()),
            None => Err(self.invalid("addr", format!("must specify port for bind address: {addr:?}"))),
        }
    }

    fn check_databases(&self, databases: &[DatabaseConfig]) -> Result<(), ConfigError> {
        if let Some(number) = first_repeated(databases.iter().map(|database| &database.path)) {
            let path = databases[number].path.display();
            return Err(self.invalid(&format!("dbs[{number}]"), format!("the database {path} is listed twice")));
        }
        let meta_paths = databases.iter().map(|database| self.environment.absolute(&database.meta_path));
        if let Some(number) = first_repeated(meta_paths) {
            let path = databases[number].meta_path.display();
            let message = format!("two databases have the same meta-path: {path}");
            return Err(self.invalid(&format!("dbs[{number}]"), message));
        }
        for (number, database) in databases.iter().enumerate() {
            self.check_replica_names(&database.replicas, &format!("dbs[{number}]"))?;
        }
        Ok(())
    }

    fn check_replica_names(&self, replicas: &[ReplicaConfig], place: &str) -> Result<(), ConfigError> {
        match first_repeated(replicas.iter().map(|replica| &replica.name)) {
            Some(number) => {
                let message = format!("duplicate replica name: {:?}; tell them apart with name", replicas[number].name);
                Err(self.invalid(&format!("{place}.replicas[{number}]"), message))
            }
            None => Ok(()),
        }
    }
}

/// What is given, where zero and less mean "never".
fn positive_or(given: Option<Interval>, default: Option<Duration>) -> Option<Duration> {
    given.map_or(default, |Interval(duration)| GoDuration::positive(duration))
}
