//! `replicate`: the daemon, alone or beside a command.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::args::{Replicate, ReplicateSource};
use super::logging;
use crate::config::{self, Config, ConfigError, Environment};
use crate::daemon::{self, Child, ChildEnd};
use crate::sqlite;

/// One thread drives timers and uploads: a commit is on its way soonest without being handed around. Files and SQLite
/// are worked on by a pool beside it, which is larger than the number of cores because its threads wait for the disk.
const BLOCKING_THREADS_MAX: usize = 32;

/// Why replication could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ReplicateError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bundled SQLite cannot be trusted.
    #[error(transparent)]
    Sqlite(#[from] sqlite::Error),
    /// No threads, or no signals.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The command could not be started or waited for.
    #[error("{0}")]
    Exec(io::Error),
    /// The command failed. Its code is not passed on, as in Litestream 0.3.
    #[error("exit status {0}")]
    Command(i32),
    /// Some commits are not in every replica.
    #[error("stopped before every replica had every commit; the rest ships at the next start")]
    Incomplete,
    /// A second signal came.
    #[error("stopped by a second signal; what was not shipped ships at the next start")]
    Hurried,
}

/// Replicates until a signal comes or the command ends.
///
/// # Errors
/// If it cannot start, the command fails, or commits are left unshipped.
pub fn run(arguments: &Replicate) -> Result<(), ReplicateError> {
    daemon::use_little_memory();
    sqlite::use_little_memory();
    sqlite::check_library()?;
    let config = load(arguments)?;
    logging::start(&config.logging);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), sqlite = sqlite::library_version(), "lightship");
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if config.databases.is_empty() {
        tracing::error!("no databases specified in configuration");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        // Not this thread: it starts the application (`exec`), which would inherit it.
        .on_thread_start(daemon::never_preempt)
        .enable_all()
        .build()
        .map_err(ReplicateError::Start)?;
    let ended = runtime.block_on(replicate(&config));
    if let Err(error) = &ended {
        tracing::error!(%error, "failed to run");
    }
    // After a second signal an upload may still be stuck in a system call; it must not keep us.
    runtime.shutdown_background();
    ended
}

fn load(arguments: &Replicate) -> Result<Config, ReplicateError> {
    let environment = Environment::of_this_process().map_err(ReplicateError::Start)?;
    let mut config = match &arguments.source {
        ReplicateSource::Config(source) => {
            let path = config::locate(source.path.as_deref(), &environment);
            config::load(&path, &environment, source.expand_env)?
        }
        ReplicateSource::Urls { database, urls } => Config::from_urls(database, urls, &environment)?,
    };
    config.ensure_writable()?;
    if let Some(exec) = &arguments.exec {
        config.exec = Some(exec.clone());
    }
    Ok(config)
}

async fn replicate(config: &Config) -> Result<(), ReplicateError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ReplicateError::Start)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ReplicateError::Start)?;
    let (stop, stopped) = watch::channel(false);
    let databases = daemon::run(config, stopped);
    tokio::pin!(databases);
    let mut child = config.exec.as_deref().map(Child::start).transpose().map_err(ReplicateError::Exec)?;
    let mut child_end = None;
    let mut signals = 0;
    let complete = loop {
        let waits_for_child = child.is_some() && child_end.is_none();
        let received = tokio::select! {
            complete = &mut databases => break complete,
            end = wait_for(&mut child), if waits_for_child => {
                child_end = Some(end.map_err(ReplicateError::Exec)?);
                tracing::info!("subprocess exited, lightship shutting down");
                let _ = stop.send(true);
                continue;
            }
            _ = interrupt.recv() => Signal::INT,
            _ = terminate.recv() => Signal::TERM,
        };
        signals += 1;
        if signals > 1 {
            if let Some(child) = child.as_mut().filter(|_| waits_for_child) {
                let third = async {
                    tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
                };
                child.end(received, third).await.map_err(ReplicateError::Exec)?;
            }
            return Err(ReplicateError::Hurried);
        }
        tracing::info!("signal received, lightship shutting down");
        match &child {
            // Its last commits are to be shipped too: it ends first.
            Some(child) if waits_for_child => {
                tracing::info!("sending signal to exec process");
                child.signal(received);
            }
            _ => drop(stop.send(true)),
        }
    };
    match child_end {
        Some(ChildEnd::Failed(code)) => Err(ReplicateError::Command(code)),
        _ if !complete => Err(ReplicateError::Incomplete),
        _ => Ok(()),
    }
}

async fn wait_for(child: &mut Option<Child>) -> io::Result<ChildEnd> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}
