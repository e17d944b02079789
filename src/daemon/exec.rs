//! A command that runs beside the replication (`-exec`).

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time;

/// How long a command is waited for that was told to end a second time.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The running command.
#[derive(Debug)]
pub struct Child {
    inner: tokio::process::Child,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEnd {
    /// With code 0, or by a signal that was sent to it.
    Well,
    /// With this code.
    Failed(i32),
}

impl Child {
    /// Starts `command`, split as a shell splits words; environment, stdout and stderr are inherited, stdin is not.
    ///
    /// # Errors
    /// If the quoting is wrong or the program cannot be started.
    pub fn start(command: &str) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let words = shell_words::split(command)
            .map_err(|error| invalid(format!("cannot parse exec command: invalid command line string: {error}")))?;
        let (program, arguments) =
            words.split_first().ok_or_else(|| invalid("cannot parse exec command: it is empty".to_owned()))?;
        let spawned = tokio::process::Command::new(program).args(arguments).stdin(Stdio::null()).spawn();
        let inner =
            spawned.map_err(|e| io::Error::new(e.kind(), format!("cannot start exec process: {program}: {e}")))?;
        Ok(Self { inner })
    }

    /// Waits for its end. May be cancelled and called again.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<ChildEnd> {
        self.inner.wait().await.map(end_of)
    }

    /// Sends it `signal` and waits a little for its end; then, or as soon as `hurry` is over, it is killed.
    ///
    /// # Errors
    /// If it can be neither waited for nor killed.
    pub async fn end(&mut self, signal: Signal, hurry: impl Future) -> io::Result<()> {
        self.signal(signal);
        tokio::select! {
            ended = self.inner.wait() => return ended.map(drop),
            () = time::sleep(LAST_WAIT) => {}
            _ = hurry => {}
        }
        tracing::warn!("killing exec process");
        self.inner.kill().await
    }

    /// Sends it `signal`; one that has ended already gets nothing.
    pub fn signal(&self, signal: Signal) {
        let pid = self.inner.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may end at this very moment; then there is nothing left to tell.
            let _ = kill_process(pid, signal);
        }
    }
}

fn end_of(status: ExitStatus) -> ChildEnd {
    match status.code() {
        Some(0) | None => ChildEnd::Well,
        Some(code) => ChildEnd::Failed(code),
    }
}
