//! SQLite's WAL as its locks make it (sqlite.org/walformat.html): every commit is one frame.

/// The state after a commit; states are numbered as they come into being.
pub type State = u8;

/// A read lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Lock 0: the WAL is not looked at. It may restart, but nobody copies anything into the file.
    Zero,
    /// One of the others, with a mark: the WAL does not restart, and nothing behind the mark is copied.
    Mark(u8),
}

/// Who uses the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    Ours,
    App(u8),
    /// A connection of the application's that only checkpoints.
    Checkpointer,
}

/// A checkpoint under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    pub by: Party,
    pub safe: u8,
    /// The pages are in the file, and the wal-index says so; its locks are still held.
    pub copied: bool,
}

/// A transaction of the application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub lock: Lock,
    /// Somebody has committed since it began, so it may not write.
    pub stale: bool,
}

/// What SQLite says of the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WalIndex {
    pub salts: u8,
    pub frames: u8,
    pub copied: u8,
}

impl WalIndex {
    pub fn is_copied(&self) -> bool {
        self.copied >= self.frames
    }
}

/// A database, its WAL, and all locks on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    pub salts: u8,
    /// The state after each frame.
    pub frames: Vec<State>,
    pub copied: u8,
    /// Frames that survive a power cut: a checkpoint syncs what it is going to copy.
    pub synced: u8,
    /// The state in the database file.
    pub file: State,
    /// A checkpoint died while it copied: the file is in no state before the next one has ended.
    pub torn: bool,
    /// From which state each state was made, from state 1 on.
    pub parents: Vec<State>,
    pub apps: [Option<Transaction>; 2],
    /// Our two connections.
    pub lines: [Option<Lock>; 2],
    pub writer: Option<Party>,
    pub checkpoint: Option<Checkpoint>,
}

impl Database {
    pub fn new() -> Self {
        Self {
            salts: 0,
            frames: Vec::new(),
            copied: 0,
            synced: 0,
            file: 0,
            torn: false,
            parents: Vec::new(),
            apps: [None; 2],
            lines: [None; 2],
            writer: None,
            checkpoint: None,
        }
    }

    pub fn index(&self) -> WalIndex {
        WalIndex { salts: self.salts, frames: self.frames.len() as u8, copied: self.copied }
    }

    /// The state that a reader sees now.
    pub fn newest(&self) -> State {
        self.frames.last().copied().unwrap_or(self.file)
    }

    pub fn parent(&self, state: State) -> State {
        self.parents[usize::from(state) - 1]
    }

    /// The read lock that a transaction gets which begins now. Lock 0 only if everything is copied back, and not if a
    /// checkpoint has not let go of it yet.
    pub fn begin_read(&self) -> Lock {
        let (index, busy) = (self.index(), self.checkpoint.is_some());
        if index.is_copied() && !busy { Lock::Zero } else { Lock::Mark(index.frames) }
    }

    fn locks(&self) -> impl Iterator<Item = Lock> {
        self.apps.iter().flatten().map(|transaction| transaction.lock).chain(self.lines.iter().flatten().copied())
    }

    fn is_pinned_beside(&self, app: usize) -> bool {
        let others = self.apps.iter().enumerate().filter(|(n, _)| *n != app).filter_map(|(_, t)| t.map(|t| t.lock));
        others.chain(self.lines.iter().flatten().copied()).any(|lock| matches!(lock, Lock::Mark(_)))
    }

    fn restart(&mut self) {
        self.salts += 1;
        self.frames.clear();
        (self.copied, self.synced) = (0, 0);
        self.apps.iter_mut().flatten().for_each(|transaction| transaction.stale = true);
    }

    /// Commits a transaction that has the write lock.
    pub fn commit(&mut self, app: usize) {
        let zero = self.apps[app].is_some_and(|transaction| transaction.lock == Lock::Zero);
        if zero && self.copied > 0 && !self.is_pinned_beside(app) {
            self.restart();
        }
        self.parents.push(self.newest());
        self.frames.push(self.parents.len() as State);
        self.apps.iter_mut().flatten().for_each(|transaction| transaction.stale = true);
        (self.apps[app], self.writer) = (None, None);
    }

    /// Begins a PASSIVE checkpoint, if nobody is at it and there is something that may be copied.
    pub fn begin_checkpoint(&mut self, by: Party) -> bool {
        let marks = self.locks().filter_map(|lock| if let Lock::Mark(mark) = lock { Some(mark) } else { None });
        let safe = marks.min().unwrap_or(u8::MAX).min(self.frames.len() as u8);
        let can = self.checkpoint.is_none() && safe > self.copied && self.locks().all(|lock| lock != Lock::Zero);
        if can {
            self.checkpoint = Some(Checkpoint { by, safe, copied: false });
            self.synced = self.synced.max(safe);
        }
        can
    }

    /// Copies, and in a second step lets go.
    pub fn go_on_checkpointing(&mut self, by: Party) {
        match self.checkpoint.filter(|checkpoint| checkpoint.by == by) {
            Some(Checkpoint { safe, copied: false, .. }) => {
                (self.copied, self.file, self.torn) = (safe, self.frames[usize::from(safe) - 1], false);
                self.checkpoint = Some(Checkpoint { by, safe, copied: true });
            }
            Some(_) => self.checkpoint = None,
            None => {}
        }
    }

    /// Whether a TRUNCATE checkpoint would restart the WAL now; it copies nothing itself here.
    pub fn can_truncate(&self) -> bool {
        let unpinned = self.locks().all(|lock| lock == Lock::Zero);
        self.writer.is_none() && self.checkpoint.is_none() && self.index().is_copied() && unpinned
    }

    pub fn truncate(&mut self) {
        self.restart();
    }

    /// All locks of a process that has died are gone.
    pub fn die(&mut self, party: Party) {
        if let Some(checkpoint) = self.checkpoint.take_if(|checkpoint| checkpoint.by == party) {
            self.torn |= !checkpoint.copied;
        }
        self.writer.take_if(|writer| *writer == party);
        match party {
            Party::Ours => self.lines = [None; 2],
            Party::App(app) => self.apps[usize::from(app)] = None,
            Party::Checkpointer => {}
        }
    }

    /// The power fails: frames that were not synced are gone. The first who comes recovers the WAL, and knows of no
    /// frame that it has been copied.
    pub fn lose_power(&mut self, kept: u8) {
        [Party::Ours, Party::App(0), Party::App(1), Party::Checkpointer].into_iter().for_each(|party| self.die(party));
        self.frames.truncate(usize::from(kept.max(self.synced)));
        self.copied = 0;
    }

    /// Whether the file is in `state` and nobody is changing it.
    pub fn stands_at(&self, state: State) -> bool {
        let changing = self.checkpoint.is_some_and(|checkpoint| !checkpoint.copied);
        self.file == state && !self.torn && !changing
    }
}
