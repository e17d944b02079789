//! The command line: the only part that prints. Tables go to stdout, everything else to stderr.

pub mod args;
pub mod argv;
mod console;
mod databases;
mod demo;
mod doctor;
pub mod duration;
mod error;
mod generations;
mod listing;
mod logging;
mod ltx;
mod migrate;
mod point;
mod points;
mod replicas;
mod replicate;
mod restore;
mod retention;
mod snapshots;
mod status;
pub mod table;
mod verify;
mod version;
mod wal;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Command;
use console::Console;
use error::CliError;

/// Carries out a command line, the name of the program first. 0 is success; everything else is 1, as in Litestream 0.3,
/// but for `verify`.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let console = Console;
    let command = match args::parse(argv.clone()) {
        Ok(command) => command,
        Err(exit) => {
            console.table(&exit.stdout);
            console.raw(&exit.stderr);
            return ExitCode::from(exit.code);
        }
    };
    match execute(command, argv.first(), &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.say(&error);
            ExitCode::from(error.code())
        }
    }
}

fn execute(command: Command, program: Option<&OsString>, console: &Console) -> Result<(), CliError> {
    match command {
        Command::Databases(command) => databases::run(&command, console),
        Command::Generations(command) => generations::run(&command, console),
        Command::Snapshots(command) => snapshots::run(&command, console),
        Command::Wal(command) => wal::run(&command, console),
        Command::Ltx(command) => ltx::run(&command, console),
        Command::Restore(command) => restore::run(&command, console),
        Command::Point(command) => point::run(&command, console),
        Command::Points(command) => points::run(&command, console),
        Command::Retention(command) => retention::run(&command, console),
        Command::Verify(command) => verify::run(&command, console),
        Command::Doctor(command) => doctor::run(&command, console),
        Command::Status(command) => status::run(&command, console),
        Command::Migrate => {
            migrate::run(console);
            Ok(())
        }
        Command::Version => {
            version::run(program, console);
            Ok(())
        }
        Command::Replicate(command) => Ok(replicate::run(&command)?),
        Command::Demo(command) => Ok(demo::run(&command, console)?),
    }
}

/// Drives `future` to its end. One thread is enough: the heavy work of a restore has threads of its own.
fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    Ok(runtime.block_on(future))
}
