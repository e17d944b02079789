//! The configuration as the program needs it: every default applied, every path absolute.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use replica_backends::layers::AgeKeys;

use super::target::{ReplicaKind, ReplicaTarget};
use super::{ConfigError, Environment, defaults};
use crate::types::Level;

/// All there is to know before starting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The databases, in the order of the file.
    pub databases: Vec<DatabaseConfig>,
    /// A command to run beside the replication, whose end ends it.
    pub exec: Option<String>,
    /// `host:port` to serve metrics on; none if absent.
    pub addr: Option<String>,
    /// What is logged, and how.
    pub logging: Logging,
    /// What the author of the file should hear, one sentence each; not yet said to anyone.
    pub warnings: Vec<String>,
}

/// One database and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// The database file, absolute.
    pub path: PathBuf,
    /// The folder of our own state. As written if the configuration states it, so perhaps relative.
    pub meta_path: PathBuf,
    /// How long at most until a commit is seen.
    pub monitor_interval: Duration,
    /// Age from which on a WAL is checkpointed; `None`: age does not matter.
    pub checkpoint_interval: Option<Duration>,
    /// Pages in the WAL from which on it is checkpointed without making writers wait; never 0.
    pub min_checkpoint_page_count: u32,
    /// Pages in the WAL from which on writers are made to wait for a checkpoint; `None`: never.
    pub max_checkpoint_page_count: Option<u32>,
    /// Bytes of WAL from which on replicas that lag are given up.
    pub max_wal_bytes: u64,
    /// How long our own connections wait for a lock of the application's.
    pub busy_timeout: Duration,
    /// Whether a database in another journal mode is put into WAL mode.
    pub convert_to_wal: bool,
    /// How long merged ranges of each level last; all `None`: nothing is merged.
    pub merge_intervals: [Option<Duration>; Level::COUNT],
    /// How often all pages of the file are compared with what was captured; `None`: never.
    pub page_check_interval: Option<Duration>,
    /// Where the copies go; names and targets are unique.
    pub replicas: Vec<ReplicaConfig>,
}

/// One copy of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// Name, unique within the database; the kind of the target if none was given.
    pub name: String,
    /// Where it lives.
    pub target: ReplicaTarget,
    /// Least time between two uploads.
    pub sync_interval: Duration,
    /// How long every state stays restorable; `None`: for ever.
    pub retention: Option<Duration>,
    /// Of which states some stay restorable for longer.
    pub retention_tiers: Vec<RetentionTier>,
    /// Whether nothing is ever deleted, whatever else is said.
    pub append_only: bool,
    /// Time between two looks for what may be deleted; at most `retention`.
    pub retention_check_interval: Duration,
    /// Time between two snapshots; `None`: only the one a generation begins with.
    pub snapshot_interval: Option<Duration>,
    /// Time between two restores that prove the replica good; `None`: never.
    pub validation_interval: Option<Duration>,
    /// Encryption with age: to whom on writing, as whom on reading.
    pub age: AgeKeys,
}

/// One state in each interval, the last one, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionTier {
    /// The interval; more than 0.
    pub every: Duration,
    /// For how long.
    pub keep: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logging {
    /// The least important that is said.
    pub level: LogLevel,
    /// The form.
    pub format: LogFormat,
    /// Whether it goes to stderr instead of stdout.
    pub stderr: bool,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// For those who work on the program.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What may need a human.
    Warn,
    /// What needs one.
    Error,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `key=value` lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The configuration that `replicate DB URL...` means: one database, defaults for the rest.
    ///
    /// Replicas of the same kind are named `file`, `file-2` and so on.
    pub fn from_urls(path: &Path, urls: &[String], environment: &Environment) -> Result<Self, ConfigError> {
        let mut database = DatabaseConfig::with_defaults(environment.absolute(path));
        for url in urls {
            let mut replica = ReplicaConfig::from_url(url, environment)?;
            let same_kind = database.replicas.iter().filter(|r| r.target.kind() == replica.target.kind()).count();
            if same_kind > 0 {
                replica.name = format!("{}-{}", replica.name, same_kind + 1);
            }
            database.replicas.push(replica);
        }
        let config = Self { databases: vec![database], ..Self::default() };
        super::resolve::check_targets(&config.databases, "")?;
        Ok(config)
    }

    /// The database at `path`, which may be relative or start with `~`.
    pub fn database(&self, path: &Path, environment: &Environment) -> Result<&DatabaseConfig, ConfigError> {
        let path = environment.absolute(super::resolve::without_sqlite_scheme(path));
        let configured = || self.databases.iter().map(|database| database.path.clone()).collect();
        let found = self.databases.iter().find(|database| database.path == path);
        found.ok_or_else(|| ConfigError::DatabaseNotFound { configured: configured(), path })
    }

    /// Refuses to replicate what cannot be written: see [`ReplicaConfig::ensure_writable`].
    pub fn ensure_writable(&self) -> Result<(), ConfigError> {
        let replicas = self.databases.iter().flat_map(|d| d.replicas.iter().map(move |replica| (d, replica)));
        replicas.into_iter().try_for_each(|(database, replica)| replica.ensure_writable(&database.path))
    }
}

impl DatabaseConfig {
    /// The database at the absolute `path`, with no replicas.
    #[must_use]
    pub fn with_defaults(path: PathBuf) -> Self {
        Self {
            meta_path: default_meta_path(&path),
            path,
            monitor_interval: defaults::MONITOR_INTERVAL,
            checkpoint_interval: Some(defaults::CHECKPOINT_INTERVAL),
            min_checkpoint_page_count: defaults::MIN_CHECKPOINT_PAGE_COUNT,
            max_checkpoint_page_count: Some(defaults::MAX_CHECKPOINT_PAGE_COUNT),
            max_wal_bytes: u64::from(defaults::MAX_WAL_MIB) << 20,
            busy_timeout: defaults::BUSY_TIMEOUT,
            convert_to_wal: defaults::CONVERT_TO_WAL,
            merge_intervals: defaults::MERGE_INTERVALS,
            page_check_interval: Some(defaults::PAGE_CHECK_INTERVAL),
            replicas: Vec::new(),
        }
    }

    /// The replica of that name.
    #[must_use]
    pub fn replica(&self, name: &str) -> Option<&ReplicaConfig> {
        self.replicas.iter().find(|replica| replica.name == name)
    }
}

impl ReplicaConfig {
    /// The replica at `url`, with defaults for the rest.
    pub fn from_url(url: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let target = super::resolve::target_from_url(url, environment)?;
        Ok(Self::with_defaults(target))
    }

    /// The replica at `target`, with defaults for the rest.
    #[must_use]
    pub fn with_defaults(target: ReplicaTarget) -> Self {
        Self {
            name: target.kind().to_string(),
            sync_interval: default_sync_interval(target.kind()),
            target,
            retention: Some(defaults::RETENTION),
            retention_tiers: Vec::new(),
            append_only: false,
            retention_check_interval: defaults::RETENTION_CHECK_INTERVAL,
            snapshot_interval: None,
            validation_interval: None,
            age: AgeKeys::default(),
        }
    }

    /// Refuses what can be read but not written: a replica with identities and no recipients.
    pub fn ensure_writable(&self, database: &Path) -> Result<(), ConfigError> {
        if self.age.can_write() || !self.age.can_read() {
            return Ok(());
        }
        Err(ConfigError::invalid(
            format!("database {}, replica {:?}, age", database.display(), self.name),
            format!(
                "there are identities, but no recipients, so nothing could be written encrypted; those of the \
                 identities are {}",
                self.age.public_of_identities().join(", ")
            ),
        ))
    }
}

/// What `sync-interval` is if nobody states it.
#[must_use]
pub fn default_sync_interval(kind: ReplicaKind) -> Duration {
    if kind == ReplicaKind::File { defaults::SYNC_INTERVAL_FILE } else { defaults::SYNC_INTERVAL_REMOTE }
}

/// `.NAME-lightship` beside the database: not the folder Litestream uses, whose content differs.
#[must_use]
pub fn default_meta_path(database: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push("-lightship");
    database.with_file_name(name)
}

/// The first item that was there before.
pub(super) fn first_repeated<T: Ord>(items: impl IntoIterator<Item = T>) -> Option<usize> {
    let mut seen = BTreeSet::new();
    items.into_iter().position(|item| !seen.insert(item))
}
