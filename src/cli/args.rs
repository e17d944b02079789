//! The command line, understood: which command, on what, how.
//!
//! Texts of errors are Litestream's, with hints after them. Every error of the command line ends with code 1, as there.
//! Asking for help succeeds; giving no command at all does not, though it is answered with help.

mod command;
mod flags;
mod point;
mod restore;
mod value;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::argv::{self, ArgvError};
use crate::config::replica_url;
use crate::config::suggest::did_you_mean;

pub use command::{
    Command, ConfigSource, Databases, Demo, Doctor, Generations, Ltx, PARALLELISM, Point, PointAction, Points,
    Replicate, ReplicateSource, Restore, RestoreOutput, RestoreSource, Retention, Snapshots, Source, Status, Until,
    Verify, Wal,
};

/// An end before the beginning: help, or an error in the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The code to exit with.
    pub code: u8,
    /// What to print on stdout.
    pub stdout: String,
    /// What to print on stderr.
    pub stderr: String,
}

/// Understands a command line, the name of the program first.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Command, Exit> {
    let mut words = argv.into_iter();
    let program = program_name(words.next().as_deref());
    let Some(command) = words.next() else {
        return Err(Exit { code: 1, stdout: flags::usage(program), stderr: String::new() });
    };
    let command = command.to_string_lossy().into_owned();
    match command.as_str() {
        "help" => return Err(help(program, words.next().as_deref())),
        "-h" | "-help" | "--help" => return Err(help(program, None)),
        "-version" | "--version" => return Ok(Command::Version),
        flag if flag.starts_with('-') => {
            let stderr = format!("{program}: flags such as {flag} come after the command\n");
            return Err(Exit { code: 1, stdout: flags::usage(program), stderr });
        }
        _ => {}
    }
    let known = flags::of_command(&command).ok_or_else(|| unknown_command(program, &command))?;
    let failure = |message: String| Exit {
        code: 1,
        stdout: String::new(),
        stderr: format!("{message}\nRun '{program} {command} -h' for usage.\n"),
    };
    let arguments = argv::take_apart(words, &known).map_err(|error| failure(with_suggestion(&error, &known)))?;
    if arguments.help {
        return Err(help(program, Some(OsStr::new(&command))));
    }
    let flags = flags::read(&command, arguments).map_err(failure)?;
    understand(flags).map_err(failure)
}

/// The name by which the program was called if that is Litestream's, so that scripts see what they know.
fn program_name(word: Option<&OsStr>) -> &'static str {
    let name = word.map(Path::new).and_then(Path::file_name);
    if name == Some(OsStr::new("litestream")) { "litestream" } else { "lightship" }
}

fn help(program: &str, topic: Option<&OsStr>) -> Exit {
    let topic = topic.map(OsStr::to_string_lossy);
    match topic.as_deref() {
        None => Exit { code: 0, stdout: flags::usage(program), stderr: String::new() },
        Some(command) => match flags::usage_of(program, command) {
            Some(stdout) => Exit { code: 0, stdout, stderr: String::new() },
            None => unknown_command(program, command),
        },
    }
}

fn unknown_command(program: &str, command: &str) -> Exit {
    let hint = did_you_mean(command, flags::COMMANDS);
    Exit { code: 1, stdout: String::new(), stderr: format!("{program} {command}: unknown command{hint}\n") }
}

fn with_suggestion(error: &ArgvError, known: &[argv::Flag]) -> String {
    match error {
        ArgvError::UnknownFlag(name) => {
            let hint = crate::config::suggest::nearest(name, known.iter().map(|flag| flag.name.as_str()));
            format!("{error}{}", hint.map_or_else(String::new, |flag| format!("; did you mean -{flag}?")))
        }
        _ => error.to_string(),
    }
}

fn understand(flags: flags::Command) -> Result<Command, String> {
    Ok(match flags {
        flags::Command::Databases(flags) => {
            no_more_than(0, &flags.arguments)?;
            Command::Databases(Databases { config: config(flags.config), json: flags.json })
        }
        flags::Command::Generations(flags) => Command::Generations(Generations {
            source: source(flags.arguments, flags.config, "database path or replica URL required")?,
            replica: stated(flags.replica),
            json: flags.json,
        }),
        flags::Command::Snapshots(flags) => Command::Snapshots(Snapshots {
            source: source(flags.arguments, flags.config, "database path required")?,
            replica: stated(flags.replica),
            json: flags.json,
        }),
        flags::Command::Wal(flags) => Command::Wal(Wal {
            source: source(flags.arguments, flags.config, "database path required")?,
            replica: stated(flags.replica),
            generation: stated(flags.generation).map(|text| value::generation(&text)).transpose()?,
            json: flags.json,
        }),
        flags::Command::Ltx(flags) => Command::Ltx(Ltx {
            source: source(flags.arguments, flags.config, "database path or replica URL required")?,
            replica: stated(flags.replica),
            level: value::level(&stated(flags.level).unwrap_or_else(|| "0".to_owned()))?,
            json: flags.json,
        }),
        flags::Command::Replicate(flags) => Command::Replicate(replicate(flags)?),
        flags::Command::Status(flags) => Command::Status(status(flags)?),
        flags::Command::Restore(flags) => Command::Restore(restore::restore(flags)?),
        flags::Command::Points(flags) => Command::Points(Points {
            source: source(flags.arguments, flags.config, "database path or replica URL required")?,
            replica: stated(flags.replica),
            around: stated(flags.around).map(|text| value::timestamp(&text)).transpose()?,
            json: flags.json,
        }),
        flags::Command::Point(flags) => Command::Point(point::point(flags)?),
        flags::Command::Retention(flags) => Command::Retention(retention(flags)?),
        flags::Command::Verify(flags) => Command::Verify(verify(flags)?),
        flags::Command::Doctor(flags) => Command::Doctor(doctor(flags)?),
        flags::Command::Migrate(flags) => {
            no_more_than(0, &flags.arguments)?;
            Command::Migrate
        }
        flags::Command::Version(flags) => {
            no_more_than(0, &flags.arguments)?;
            Command::Version
        }
        flags::Command::Demo(flags) => {
            no_more_than(0, &flags.arguments)?;
            Command::Demo(Demo { write: flags.write })
        }
    })
}

fn replicate(flags: flags::Replicate) -> Result<Replicate, String> {
    let config = config(flags.config);
    let mut arguments = flags.arguments.into_iter();
    let source = match arguments.next() {
        None => ReplicateSource::Config(config),
        Some(database) if arguments.len() == 0 => {
            return Err(format!("must specify at least one replica URL for {}", database.display()));
        }
        Some(_) if config.path.is_some() => return Err(URL_AND_CONFIG.to_owned()),
        Some(database) => ReplicateSource::Urls {
            database: database.into(),
            urls: arguments.map(value::utf8).collect::<Result<_, _>>()?,
        },
    };
    Ok(Replicate { source, exec: stated(flags.exec) })
}

fn status(flags: flags::Status) -> Result<Status, String> {
    let max_lag = stated(flags.max_lag).map(|text| value::duration("max-lag", &text)).transpose()?;
    Ok(Status {
        databases: flags.arguments.into_iter().map(Into::into).collect(),
        config: config(flags.config),
        max_lag: max_lag.unwrap_or(MAX_LAG),
        json: flags.json,
    })
}

fn retention(flags: flags::Retention) -> Result<Retention, String> {
    let keep = stated(flags.retention).map(|text| value::duration("retention", &text)).transpose()?;
    let source = source(flags.arguments, flags.config, "database path or replica URL required")?;
    if matches!(source, Source::Url(_)) && keep.is_none() {
        return Err(
            "with a replica URL there is no configuration; say with -retention how long everything is kept".to_owned()
        );
    }
    Ok(Retention { source, replica: stated(flags.replica), keep, dry_run: flags.dry_run })
}

/// The arguments of a command that may be about several databases and URLs.
fn sources(arguments: Vec<OsString>, config: &ConfigSource) -> Result<Vec<Source>, String> {
    let source = |argument: OsString| match argument.to_str().filter(|text| replica_url::is_url(text)) {
        Some(_) if config.path.is_some() => Err(URL_AND_CONFIG.to_owned()),
        Some(url) => Ok(Source::Url(url.to_owned())),
        None => Ok(Source::Database { path: argument.into(), config: config.clone() }),
    };
    arguments.into_iter().map(source).collect()
}

fn doctor(flags: flags::Doctor) -> Result<Doctor, String> {
    let config = config(flags.config);
    let sources = sources(flags.arguments, &config)?;
    Ok(Doctor { sources, replica: stated(flags.replica), json: flags.json, config })
}

fn verify(flags: flags::Verify) -> Result<Verify, String> {
    let config = config(flags.config);
    let sources = sources(flags.arguments, &config)?;
    let replica = stated(flags.replica);
    Ok(Verify { sources, replica, all: flags.all, full: flags.full, last: flags.last, json: flags.json, config })
}

/// What a replica may be behind unless `-max-lag` says otherwise.
const MAX_LAG: Duration = Duration::from_secs(60);
const URL_AND_CONFIG: &str = "cannot specify a replica URL and the -config flag";

/// The one argument of a command that reads replicas.
fn source(arguments: Vec<OsString>, flags: flags::Config, required: &str) -> Result<Source, String> {
    no_more_than(1, &arguments)?;
    let argument = arguments.into_iter().next().filter(|argument| !argument.is_empty());
    let argument = argument.ok_or_else(|| required.to_owned())?;
    let config = config(flags);
    match argument.to_str().filter(|text| replica_url::is_url(text)) {
        Some(_) if config.path.is_some() => Err(URL_AND_CONFIG.to_owned()),
        Some(url) => Ok(Source::Url(url.to_owned())),
        None => Ok(Source::Database { path: argument.into(), config }),
    }
}

fn no_more_than(count: usize, arguments: &[OsString]) -> Result<(), String> {
    if arguments.len() > count { Err("too many arguments".to_owned()) } else { Ok(()) }
}

fn config(flags: flags::Config) -> ConfigSource {
    ConfigSource { path: flags.config.filter(|path| !path.as_os_str().is_empty()), expand_env: !flags.no_expand_env }
}

/// A flag that says something; Litestream takes an empty one for none.
fn stated(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
