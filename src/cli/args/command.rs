//! What a command line asks for, as plain values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::history::ltx::LtxLevel;
use crate::types::{Generation, Index, Position, Timestamp, Txid};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// List the configured databases.
    Databases(Databases),
    /// List the generations of a database or replica.
    Generations(Generations),
    /// List the snapshots of a database or replica.
    Snapshots(Snapshots),
    /// List the WAL segments of a database or replica.
    Wal(Wal),
    /// List the files that Litestream 0.5 wrote.
    Ltx(Ltx),
    /// Replicate until told to stop.
    Replicate(Replicate),
    /// Say what a replicator is doing.
    Status(Status),
    /// Restore a database from a replica.
    Restore(Restore),
    /// Give a state a name, or take it away.
    Point(Point),
    /// List what can be restored.
    Points(Points),
    /// Delete what need not be kept.
    Retention(Retention),
    /// Check replicas.
    Verify(Verify),
    /// Find out what is wrong.
    Doctor(Doctor),
    /// Say how to change over from Litestream.
    Migrate,
    /// Say which version this is.
    Version,
    /// Show the whole cycle on a database made for the purpose.
    Demo(Demo),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSource {
    /// The file, if `-config` names one.
    pub path: Option<PathBuf>,
    /// Whether environment variables in it are replaced.
    pub expand_env: bool,
}

/// What a command that reads replicas is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One replica, known by its URL.
    Url(String),
    /// The replicas that the configuration has for a database.
    Database {
        /// The database, as written.
        path: PathBuf,
        /// The configuration.
        config: ConfigSource,
    },
}

/// `databases`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Databases {
    /// The configuration.
    pub config: ConfigSource,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `generations`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generations {
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `snapshots`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots {
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `wal`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wal {
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// Only this generation.
    pub generation: Option<Generation>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `ltx`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ltx {
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// Only this level.
    pub level: Option<LtxLevel>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `status`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Of these databases; of all in the configuration if none is named.
    pub databases: Vec<PathBuf>,
    /// The configuration.
    pub config: ConfigSource,
    /// A replica that is further behind is not well.
    pub max_lag: Duration,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `replicate`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicate {
    /// What, and where to.
    pub source: ReplicateSource,
    /// A command to run beside the replication; beats that of the configuration.
    pub exec: Option<String>,
}

/// What to replicate, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicateSource {
    /// As the configuration says.
    Config(ConfigSource),
    /// One database to these replicas.
    Urls {
        /// The database, as written.
        database: PathBuf,
        /// The replicas, at least one.
        urls: Vec<String>,
    },
}

/// `restore`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// From what.
    pub source: RestoreSource,
    /// Only from this replica.
    pub replica: Option<String>,
    /// Only from this generation.
    pub generation: Option<Generation>,
    /// Up to which state.
    pub until: Until,
    /// Where to.
    pub output: RestoreOutput,
    /// Whether a database that is there already is success.
    pub if_db_not_exists: bool,
    /// Whether it is success that there is nothing to restore from.
    pub if_replica_exists: bool,
    /// Downloads at a time; at least 1.
    pub parallelism: usize,
    /// Whether to show the plan and do nothing.
    pub dry_run: bool,
    /// Whether to show progress on a terminal.
    pub progress: bool,
}

/// `doctor`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// Of what; of everything in the configuration if nothing is named.
    pub sources: Vec<Source>,
    /// The configuration, if nothing is named.
    pub config: ConfigSource,
    /// Only this replica.
    pub replica: Option<String>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `verify`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// What; nothing: every database of the configuration.
    pub sources: Vec<Source>,
    /// The configuration.
    pub config: ConfigSource,
    /// Only this replica.
    pub replica: Option<String>,
    /// Whether every history is checked.
    pub all: bool,
    /// Whether a temporary restore is checked by SQLite.
    pub full: bool,
    /// Whether only the last scheduled result is told.
    pub last: bool,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// What to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreSource {
    /// One database.
    One(Source),
    /// Every database of a configuration.
    All {
        /// The configuration.
        config: ConfigSource,
        /// Only those below this folder.
        folder: Option<PathBuf>,
    },
}

/// Where to restore to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreOutput {
    /// Where the database was. Never with a URL.
    Place,
    /// This file; of several databases, below this folder.
    Path(PathBuf),
    /// Standard output. Never of several databases.
    Stdout,
}

/// Up to which state to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// The last there is.
    Latest,
    /// The end of this index.
    Index(Index),
    /// The last not newer than this.
    Timestamp(Timestamp),
    /// The state after this transaction of Litestream 0.5.
    Txid(Txid),
    /// The point of this name.
    Point(String),
    /// The commit that ends there.
    Position(Position),
}

/// `point`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// What to do.
    pub action: PointAction,
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// What `point` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointAction {
    /// Name a state.
    Create {
        /// The name.
        name: String,
        /// The last commit not newer than this; `None`: the newest.
        at: Option<Timestamp>,
        /// What else to say of it.
        meta: BTreeMap<String, String>,
    },
    /// List the names.
    List,
    /// Take a name away.
    Delete {
        /// The name.
        name: String,
    },
}

/// `points`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// The commits around this time instead.
    pub around: Option<Timestamp>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// `retention`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Of what.
    pub source: Source,
    /// Only this replica.
    pub replica: Option<String>,
    /// How long everything is kept; `None`: as the configuration says.
    pub keep: Option<Duration>,
    /// Whether to show the plan and delete nothing.
    pub dry_run: bool,
}

/// Downloads at a time unless `-parallelism` says otherwise.
pub const PARALLELISM: usize = 8;

/// `demo`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// For the demo's own use: be the application that writes to this database.
    pub write: Option<PathBuf>,
}
