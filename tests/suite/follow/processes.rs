//! Processes that a test starts, and that end with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::scene::{PATIENCE, wait_until};

/// A running writer; killed when dropped.
pub struct Writer {
    /// Its process.
    pub child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Writer {
    /// Starts `command` and waits for its first line.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "the writer did not start");
        Self { child, out }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits until it has done its work; with `--stay` it then still holds its connection.
    pub fn commits(&mut self) -> u64 {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim().strip_prefix("commits ").unwrap_or_else(|| panic!("the writer failed: {line:?}")).parse().unwrap()
    }

    /// What one with `--waits` tells after its commits.
    pub fn waits(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Lets one that stays go.
    pub fn leave(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
}

/// A running replicator; killed when dropped.
pub struct Replicator {
    /// Its process.
    pub child: Child,
    log: PathBuf,
}

impl Replicator {
    /// Starts `command`, appending what it says to `log`.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let out = fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Self { child, log }
    }

    /// Waits until it (or an earlier one with the same log) has said `text`.
    pub fn wait_for(&self, text: &str) {
        let said = || fs::read_to_string(&self.log).unwrap_or_default();
        let since = Instant::now();
        while !said().contains(text) {
            assert!(since.elapsed() < PATIENCE, "waited in vain for {text:?}:\n{}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// [`Self::stop`], and everything must be in the replicas.
    pub fn stop_well(self) {
        let log = self.log.clone();
        let status = self.stop();
        assert!(status.success(), "{status}\n{}", fs::read_to_string(log).unwrap());
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Megabytes of memory that it has.
    pub fn resident_megabytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the replicator's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replicator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
