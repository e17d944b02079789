//! The flags of each command, for clap: it holds the list, reads the values and writes the help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::cli::argv::{Arguments, Flag};

/// The names of the commands.
pub const COMMANDS: [&str; 16] = [
    "databases",
    "generations",
    "snapshots",
    "wal",
    "ltx",
    "points",
    "point",
    "replicate",
    "status",
    "restore",
    "retention",
    "verify",
    "doctor",
    "migrate",
    "version",
    "demo",
];

#[derive(Debug, Parser)]
#[command(
    name = "lightship",
    about = "Continuous, provable backup for SQLite",
    after_help = "Flags take one dash or two, and may stand before or after other arguments.\n\
                  Ask for the flags of a command with COMMAND -h.",
    disable_help_flag = true,
    disable_help_subcommand = true
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

/// A command with its flags as text.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the databases of the configuration
    Databases(Databases),
    /// List the generations of a database or a replica
    Generations(Generations),
    /// List the snapshots of a database or a replica
    Snapshots(Snapshots),
    /// List the WAL segments of a database or a replica
    Wal(Wal),
    /// List the files that Litestream 0.5 wrote to a replica
    Ltx(Ltx),
    /// List what can be restored from a database's replicas or a replica
    Points(Points),
    /// Give a state a name that keeps it: create NAME, list, delete NAME
    Point(Point),
    /// Replicate databases until told to stop
    Replicate(Replicate),
    /// Say what the replicator is doing; exit code 1 unless all is well
    Status(Status),
    /// Restore a database from a replica
    Restore(Restore),
    /// Delete what need not be kept any more
    Retention(Retention),
    /// Check every object of replicas, and compare them with their databases
    Verify(Verify),
    /// Find out what keeps databases from being replicated, and try the stores of their replicas
    Doctor(Doctor),
    /// Say how to change over from Litestream, and back
    Migrate(Nothing),
    /// Print the version
    Version(Nothing),
    /// Show replication and restore on a database made for the purpose
    Demo(Demo),
}

#[derive(Debug, Args)]
pub struct Config {
    /// Configuration file [default: $LITESTREAM_CONFIG, else /etc/litestream.yml]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Leave environment variables in the configuration alone
    #[arg(long)]
    pub no_expand_env: bool,
}

#[derive(Debug, Args)]
pub struct Nothing {
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Demo {
    #[arg(long, value_name = "PATH", hide = true)]
    pub write: Option<PathBuf>,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Databases {
    #[command(flatten)]
    pub config: Config,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub config: Config,
    /// A replica whose oldest missing commit is older than this is not well [default: 1m]
    #[arg(long, value_name = "DURATION")]
    pub max_lag: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Generations {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Snapshots {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Wal {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Only this generation
    #[arg(long, value_name = "NAME")]
    pub generation: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Ltx {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Only this level, 0 to 9, or all [default: 0]
    #[arg(long, value_name = "N")]
    pub level: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Points {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Show the commits around this time, such as 2000-01-01T00:00:00Z or "15m ago"
    #[arg(long, value_name = "TIME")]
    pub around: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Point {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// create: the state at this time [default: the latest]
    #[arg(long, value_name = "TIME")]
    pub timestamp: Option<String>,
    /// create: something to remember with it; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub meta: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Retention {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// How long everything is kept, such as 24h [default: as configured]
    #[arg(long, value_name = "DURATION")]
    pub retention: Option<String>,
    /// Show what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Replicate {
    #[command(flatten)]
    pub config: Config,
    /// Run this command as well; when it ends, so does the replication
    #[arg(long, value_name = "CMD")]
    pub exec: Option<String>,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub config: Config,
    /// Only from this replica of the database [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Only from this generation [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub generation: Option<String>,
    /// Up to the end of this WAL index, in hex
    #[arg(long, value_name = "HEX")]
    pub index: Option<String>,
    /// Up to this named point
    #[arg(long, value_name = "NAME")]
    pub point: Option<String>,
    /// Up to the commit that ends there: GENERATION/INDEX:OFFSET, as restore, point and points print it
    #[arg(long, value_name = "POSITION")]
    pub position: Option<String>,
    /// Up to this time, such as 2000-01-01T00:00:00Z or "15m ago" [default: the latest]
    #[arg(long, value_name = "TIME")]
    pub timestamp: Option<String>,
    /// Up to this transaction of Litestream 0.5, 16 hex digits
    #[arg(long, value_name = "TXID")]
    pub txid: Option<String>,
    /// Every database of the configuration, or every one below DIRECTORY if that is given in place of DB_PATH
    #[arg(long)]
    pub all: bool,
    /// Where to write the database, with -all a folder [default: where it was; needed with a URL]
    #[arg(long = "o", value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Write the database to standard output, once it has been restored to a temporary file and verified
    #[arg(long)]
    pub to_stdout: bool,
    /// Succeed without doing anything if the database exists
    #[arg(long)]
    pub if_db_not_exists: bool,
    /// Succeed without doing anything if there is no backup
    #[arg(long)]
    pub if_replica_exists: bool,
    /// Downloads at a time [default: 8]
    #[arg(long, value_name = "N")]
    pub parallelism: Option<String>,
    /// Show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Show no progress bar
    #[arg(long)]
    pub no_progress: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Every history of the replica [default: the newest]
    #[arg(long)]
    pub all: bool,
    /// Also restore the newest state to a temporary file, and run SQLite's integrity_check on it
    #[arg(long)]
    pub full: bool,
    /// Only tell what the last scheduled verification (validation-interval) found
    #[arg(long, conflicts_with_all = ["all", "full"])]
    pub last: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub config: Config,
    /// Only this replica of the database
    #[arg(long, value_name = "NAME")]
    pub replica: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    #[arg(hide = true)]
    pub arguments: Vec<OsString>,
}

/// The flags of a command; `None` if there is no such command.
pub fn of_command(name: &str) -> Option<Vec<Flag>> {
    let program = Program::command();
    let command = program.find_subcommand(name)?;
    let flags = command.get_arguments().filter_map(|argument| {
        let name = argument.get_long()?.to_owned();
        let action = argument.get_action();
        Some(Flag { name, takes_value: action.takes_values(), repeats: matches!(action, ArgAction::Append) })
    });
    Some(flags.collect())
}

/// Reads the flags of a command from arguments in which only known flags are left.
pub fn read(command: &str, arguments: Arguments) -> Result<Command, String> {
    let mut words = vec![OsString::from("lightship"), OsString::from(command)];
    words.extend(arguments.canonical());
    match Program::try_parse_from(words) {
        Ok(program) => Ok(program.command),
        Err(error) if error.kind() == clap::error::ErrorKind::InvalidUtf8 => Err("a flag is not UTF-8".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The help for the whole program.
pub fn usage(program: &str) -> String {
    Program::command().bin_name(program).render_help().to_string()
}

/// The help for a command; `None` if there is no such command.
///
/// Flags are shown with one dash, as Litestream's documents do.
pub fn usage_of(program: &str, command: &str) -> Option<String> {
    let found = Program::command().find_subcommand(command)?.clone();
    let (arguments, meaning) = match command {
        "generations" | "snapshots" | "wal" | "ltx" | "points" | "retention" => {
            (" DB_PATH|REPLICA_URL", "DB_PATH is a database of the configuration; with REPLICA_URL there is none.")
        }
        "restore" => (
            " DB_PATH|REPLICA_URL|-all [DIRECTORY]",
            "DB_PATH is a database of the configuration; with REPLICA_URL there is none.",
        ),
        "point" => (
            " create NAME|list|delete NAME DB_PATH|REPLICA_URL",
            "DB_PATH is a database of the configuration; with REPLICA_URL there is none.",
        ),
        "verify" => (
            " [DB_PATH|REPLICA_URL...]",
            "Without arguments, all databases of the configuration. Exit codes: 0 ok, 2 failed, 3 inconclusive.",
        ),
        "replicate" => {
            (" [DB_PATH REPLICA_URL...]", "With DB_PATH there is no configuration; without, it says what to replicate.")
        }
        _ => ("", ""),
    };
    let flags = if found.get_opts().any(|flag| !flag.is_hide_set()) { " [flags]" } else { "" };
    let usage = format!("{program} {command}{flags}{arguments}");
    let help = found.disable_help_flag(true).override_usage(usage).after_help(meaning).render_help().to_string();
    Some(help.replace("\n      --", "\n      -"))
}
