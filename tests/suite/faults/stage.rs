//! A database whose replicator is killed where a test wants it.

use std::cell::RefCell;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::age::stage as sealed;
use crate::follow::scene::*;

/// How often every place is tried. With more than one round it is passed a few times before it becomes deadly.
pub fn rounds() -> u64 {
    setting("LIGHTSHIP_FAULT_ROUNDS", 1)
}

/// The first round dies at the first passing, later ones at any of the first `most`.
pub fn nth(round: u64, most: u64) -> u64 {
    if round == 0 { 1 } else { fastrand::u64(1..=most) }
}

/// Makes `command` die when it passes `place` for the `nth` time.
pub fn deadly(mut command: Command, place: &str, nth: u64) -> Command {
    command.env("LIGHTSHIP_FAULT", format!("{place}:{nth}"));
    command
}

pub struct Stage {
    pub inner: sealed::Stage,
    /// The encryption as those see it who restore.
    reader: String,
    /// The commit that was last reported as stored, of all lives.
    reported: RefCell<Option<String>>,
}

impl Stage {
    /// One replica, with these lines of configuration.
    pub fn new(keys: &str) -> Self {
        Self { inner: sealed::Stage::new("", keys), reader: String::new(), reported: RefCell::default() }
    }

    /// The replicator cannot read what it writes.
    pub fn encrypted(keys: &str) -> Self {
        let (written, read) = (sealed::age(&[], &[0]), sealed::age(&[0], &[]));
        Self { inner: sealed::Stage::new(&written, keys), reader: read, reported: RefCell::default() }
    }

    pub fn scene(&self) -> &Scene {
        &self.inner.scene
    }

    /// An application that commits until it is killed; of one of the kinds that there are.
    pub fn writer(&self) -> Writer {
        let kinds: [&[&str]; 3] = [&["--autocheckpoint", "0"], &["--autocheckpoint", "30"], &["--checkpoints"]];
        let kind = kinds[fastrand::usize(..kinds.len())];
        self.scene().writer(&[kind, &["--pause", "0.003"]].concat())
    }

    /// One that leaves next to no gap between its commits, so that a handover takes the write lock.
    pub fn fast_writer(&self) -> Writer {
        self.scene().writer(&["--autocheckpoint", "0", "--pause", "0.0003"])
    }

    /// One that leaves its WAL as it is, and whose commits go out one by one.
    pub fn slow_writer(&self) -> Writer {
        self.scene().writer(&["--autocheckpoint", "0", "--pause", "0.04"])
    }

    /// Lets the replicator die at `place` beside an application, start again, catch up and stop; looks at what is
    /// stored before and after.
    pub fn die_and_recover(&self, place: &str, nth: u64) {
        let writer = self.writer();
        self.die(place, nth);
        self.recover(place, writer);
    }

    /// Lets the replicator die at `place`, and makes sure that nothing is missing that it has reported.
    pub fn die(&self, place: &str, nth: u64) {
        let replicator = self.start_deadly(place, nth);
        self.await_death(replicator, place);
    }

    /// Starts a replicator that will die at `place`. Its log is a new one.
    pub fn start_deadly(&self, place: &str, nth: u64) -> Replicator {
        let _ = fs::remove_file(self.scene().path("log"));
        Replicator::start(deadly(self.scene().replicate_command(), place, nth), self.scene().path("log"))
    }

    /// Waits for the death of `replicator`.
    pub fn await_death(&self, mut replicator: Replicator, place: &str) {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = replicator.child.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < PATIENCE, "it never comes to {place}\n{}", self.scene().log());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.signal(), Some(9), "{place}: {status}\n{}", self.scene().log());
        self.check_reported(place);
    }

    /// What was reported as stored can be restored, that very commit.
    fn check_reported(&self, place: &str) {
        let log = self.scene().log();
        let line = log.lines().rfind(|line| line.contains(" stored db=") && line.contains("replica=sealed"));
        if let Some((_, position)) = line.and_then(|line| line.split_once("position=")) {
            *self.reported.borrow_mut() = Some(position.split_whitespace().next().unwrap().to_owned());
        }
        if let Some(position) = &*self.reported.borrow() {
            let restored = self.inner.restored(&self.reader, &["-position", position]);
            let restored = restored.unwrap_or_else(|error| panic!("{place}: {position} is lost: {error}\n{log}"));
            chain_length(&restored);
        }
    }

    /// A replicator without faults goes on, the application dies, and everything is shipped.
    pub fn recover(&self, place: &str, writer: Writer) {
        let _ = fs::remove_file(self.scene().path("log"));
        let replicator = crate::follow::writers::replicate_and_follow(self.scene());
        drop(writer);
        replicator.stop_well();
        self.check_latest(place);
    }

    /// Nobody replicates: the replica has what the source has, for us and for the real Litestream.
    pub fn check_latest(&self, place: &str) {
        let (source, log) = (self.scene().source(), || self.scene().log());
        let ours = self.inner.restored(&self.reader, &[]).unwrap_or_else(|error| panic!("{place}: {error}\n{}", log()));
        assert!(source == ours, "after {place} the replica is not the source\n{}", log());
        let theirs = self.inner.restored_by_litestream(&self.reader).unwrap();
        assert!(source == theirs, "after {place} Litestream restores something else\n{}", log());
        chain_length(&source);
    }

    /// Nothing is known any more of what was stored.
    pub fn forget_replica(&self) {
        *self.reported.borrow_mut() = None;
        fs::remove_dir_all(self.inner.sealed()).unwrap();
    }

    /// The replicator gets a new name, so the history is another writer's.
    pub fn forget_name(&self) {
        let _ = fs::remove_file(self.scene().path(".app.db-lightship/writer"));
    }
}
