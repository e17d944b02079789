//! The processes of the demo. Each is killed if the demo lets go of it.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::DemoError;
use super::writer::READY;

/// The process that writes to the database.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    input: Option<ChildStdin>,
    lines: UnboundedReceiver<u64>,
    /// When each of its commits was made, in microseconds since 1970.
    pub commits: Vec<u64>,
}

impl Writer {
    /// Starts it; when this returns, the database at `database` is there.
    pub async fn start(database: &Path) -> Result<Self, DemoError> {
        let failed = || DemoError::io("start the writer");
        let mut child = this_program()?
            .args(["demo", "-write"])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed())?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed()(io::ErrorKind::BrokenPipe.into()));
        };
        let mut output = BufReader::new(output).lines();
        if output.next_line().await.map_err(failed())?.as_deref() != Some(READY) {
            return Err(DemoError::WriterEnded);
        }
        let (out, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                let Ok(time) = line.parse() else { break };
                let _ = out.send(time);
            }
        });
        Ok(Self { child, input: Some(input), lines, commits: Vec::new() })
    }

    /// Lets it write.
    pub async fn go(&mut self) -> Result<(), DemoError> {
        let Some(input) = &mut self.input else { return Ok(()) };
        input.write_all(b"go\n").await.map_err(DemoError::io("tell the writer to begin"))
    }

    /// Takes note of the commits that it has told of.
    pub fn listen(&mut self) {
        while let Ok(time) = self.lines.try_recv() {
            self.commits.push(time);
        }
    }

    /// Ends it after its present commit, and takes note of all that it has made.
    pub async fn stop(&mut self) -> Result<(), DemoError> {
        self.input = None;
        let ended = self.child.wait().await.map_err(DemoError::io("wait for the writer"))?;
        while let Some(time) = self.lines.recv().await {
            self.commits.push(time);
        }
        if ended.success() { Ok(()) } else { Err(DemoError::WriterEnded) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }
}

/// `lightship replicate`, as a user would run it.
#[derive(Debug)]
pub struct Replicator {
    child: Child,
    log: PathBuf,
}

impl Replicator {
    /// Starts it; what it says goes to `log`.
    pub fn start(database: &Path, replica: &Path, log: &Path) -> Result<Self, DemoError> {
        let failed = || DemoError::io("start the replicator");
        let file = OpenOptions::new().create(true).append(true).open(log).map_err(failed())?;
        let again = file.try_clone().map_err(failed())?;
        let mut url = std::ffi::OsString::from("file://");
        url.push(replica);
        let child = this_program()?
            .arg("replicate")
            .arg(database)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed())?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Complains if it has ended by itself.
    pub fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(DemoError::ReplicatorEnded(self.log.clone())),
        }
    }

    /// Kills it with SIGKILL: it can do nothing more, not even notice.
    pub async fn kill(mut self) -> Result<(), DemoError> {
        self.child.kill().await.map_err(DemoError::io("kill the replicator"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }
}

fn this_program() -> Result<Command, DemoError> {
    std::env::current_exe().map(Command::new).map_err(DemoError::io("find this program"))
}
