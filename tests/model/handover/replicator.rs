//! The replicator, step by step as in `src/follow`: each call of SQLite's is a step, and so is each reading.

mod way;

use super::wal::{Database, Party, State, WalIndex};
use super::without::{Step, Without};

/// What it believes that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    Pinned { mark: u8 },
    Guarded,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// It does not run.
    Down,
    /// `attach`: the first hold is looked at before and after it is taken.
    First,
    Hold(WalIndex),
    Judge(WalIndex),
    Read,
    Keep(WalIndex),
    Kept(WalIndex),
    Resume(WalIndex),
    Settle,
    Idle,
    /// `leave_guard`.
    Leave(u8),
    /// `move_pin`.
    Move(u8),
    /// `guard_copied`.
    Give(u8),
    /// `step_aside`.
    Aside(u8),
    /// `copy_bulk`.
    Bulk,
    BulkEnd,
    /// `try_seal` and `seal`.
    Lock,
    Capture,
    Drop,
    Copy,
    CopyEnd,
    Again {
        complete: bool,
    },
    Decide {
        complete: bool,
    },
    Unlock,
}

/// Where the bytes of a commit are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// In the WAL, as this frame of it.
    Wal(u8),
    /// In memory: these.
    Memory(State),
}

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    pub state: State,
    pub source: Source,
    /// It is a difference or a snapshot: what lies before it is said to be missing.
    pub jump: bool,
    /// Behind it in the source's WAL: salts and frames.
    pub cursor: (u8, u8),
}

/// What is being copied from the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    /// The file alone.
    File(State),
    /// The file, with these frames over it.
    BesideWal { salts: u8, frames: u8 },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replicator {
    pub at: At,
    pub held: usize,
    pub hold: Hold,
    /// Salts and frames up to which everything was captured; `None`: the WAL was empty when it was attached.
    pub tail: Option<(u8, u8)>,
    /// The state there.
    pub captured: State,
    pub log: Vec<Entry>,
    /// What the shipper is at: an entry, as it was when it began, and the bytes once they are read.
    pub reading: Option<(Entry, Option<State>)>,
    pub lease: Option<Lease>,
    pub held_for_lease: bool,
    /// It has found that it missed something.
    pub lost: bool,
}

impl Replicator {
    pub fn down() -> Self {
        Self {
            at: At::Down,
            held: 0,
            hold: Hold::Guarded,
            tail: None,
            captured: 0,
            log: Vec::new(),
            reading: None,
            lease: None,
            held_for_lease: false,
            lost: false,
        }
    }

    fn other(&self) -> usize {
        1 - self.held
    }

    /// Captures up to `index`, which was read under a hold.
    fn capture(&mut self, db: &Database, index: WalIndex) {
        let Some((salts, from)) = self.tail else { return };
        if salts != db.salts || index.salts != db.salts {
            self.lost = true;
            return;
        }
        for frame in from..index.frames {
            let state = db.frames[usize::from(frame)];
            self.log.push(Entry { state, source: Source::Wal(frame), jump: false, cursor: (salts, frame + 1) });
            self.captured = state;
        }
        self.tail = Some((salts, from.max(index.frames)));
    }

    /// Whether the shippers are at work.
    pub fn is_attached(&self) -> bool {
        use At::{Down, First, Hold, Judge, Keep, Kept, Read, Resume, Settle};
        !matches!(self.at, Down | First | Hold(_) | Judge(_) | Read | Keep(_) | Kept(_) | Resume(_) | Settle)
    }

    /// `observe`; leaving a guard takes several steps.
    pub fn observe(&mut self, db: &Database) {
        let index = db.index();
        let same = self.tail.is_some_and(|(salts, _)| salts == index.salts);
        match self.hold {
            Hold::Pinned { .. } if !same => self.lost = true,
            Hold::Pinned { .. } => self.capture(db, index),
            Hold::Guarded if index.frames == 0 || self.tail == Some((index.salts, index.frames)) => {}
            Hold::Guarded => self.at = At::Leave(0),
        }
    }

    /// One step of whatever is under way.
    pub fn step(&mut self, db: &mut Database, without: &Without, replica: (State, (u8, u8))) {
        match self.at {
            At::Down | At::Idle => {}
            At::First | At::Hold(_) | At::Judge(_) | At::Read | At::Keep(_) | At::Kept(_) => {
                self.take_hold(db, without);
            }
            At::Resume(_) | At::Settle => self.resume(db, without, replica),
            At::Leave(step) => self.leave_guard(db, without, step),
            At::Move(step) => self.move_pin(db, without, step),
            At::Give(step) => self.give_way(db, without, step),
            At::Aside(step) => self.step_aside(db, without, step),
            _ => self.seal(db, without),
        }
    }

    /// `first_hold`, `read_state` and `keep_hold`.
    fn take_hold(&mut self, db: &mut Database, without: &Without) {
        let after = db.index();
        if self.at == At::Read {
            self.captured = db.newest();
        }
        self.at = match self.at {
            At::First => At::Hold(after),
            At::Hold(before) => {
                db.lines[0] = Some(db.begin_read());
                At::Judge(before)
            }
            At::Judge(before) => {
                let once = without.has(Step::FirstHoldIsLookedAtTwice);
                let same = after.salts == before.salts || once;
                let pinned = if once { !after.is_copied() } else { same && after.copied < before.frames };
                let guarded = (once || same && after.frames == before.frames && before.is_copied()) && !pinned;
                if !pinned && !guarded {
                    db.lines[0] = None;
                    self.at = At::First;
                    return;
                }
                self.hold = if pinned { Hold::Pinned { mark: after.frames } } else { Hold::Guarded };
                At::Read
            }
            At::Read if self.hold == Hold::Guarded && !after.is_copied() => {
                if without.has(Step::AHoldThatIsNoGuardIsExchanged) { At::Resume(after) } else { At::Keep(after) }
            }
            At::Read => At::Resume(after),
            At::Keep(view) => {
                db.lines[1] = Some(db.begin_read());
                self.hold = Hold::Pinned { mark: after.frames };
                At::Kept(view)
            }
            At::Kept(view) => {
                (db.lines[0], self.held) = (None, 1);
                At::Resume(view)
            }
            other => other,
        };
    }

    /// `choose` and `resume`: how to go on behind `end`, which the replica ends with, at `cursor` of the source's WAL.
    fn resume(&mut self, db: &mut Database, without: &Without, (end, cursor): (State, (u8, u8))) {
        let At::Resume(view) = self.at else { return self.settle(db, without) };
        let frame = |n: u8| db.frames.get(usize::from(n)).copied();
        let is_same = view.salts == db.salts;
        self.tail = (view.frames > 0).then_some((view.salts, view.frames));
        let newest = self.captured;
        self.at = At::Settle;
        let salts = cursor.0 == view.salts || without.has(Step::ResumeComparesSalts);
        let checksum = cursor.1.checked_sub(1).is_some_and(|last| frame(last) == Some(end));
        let checksum = checksum || without.has(Step::ResumeComparesChecksums);
        if is_same && salts && checksum && cursor.1 <= view.frames && cursor.1 > 0 {
            // The same WAL.
            self.tail = Some((view.salts, cursor.1));
            self.capture(db, view);
        } else if newest == end || without.has(Step::ResumeComparesTheState) {
            // The same state.
        } else if is_same && view.frames > 0 && view.copied == 0 && self.is_file(db, without, end) {
            // All of the WAL came after.
            self.tail = Some((view.salts, 0));
            self.capture(db, view);
        } else {
            let cursor = (view.salts, view.frames);
            self.log.push(Entry { state: newest, source: Source::Memory(newest), jump: true, cursor });
        }
    }

    fn is_file(&self, db: &Database, without: &Without, end: State) -> bool {
        db.stands_at(end) || without.has(Step::ResumeComparesTheFile)
    }

    /// `settle_hold`: the WAL may restart at any moment, so what is unshipped is taken into memory now.
    fn settle(&mut self, db: &mut Database, without: &Without) {
        self.at = At::Idle;
        if self.hold != Hold::Guarded {
            return;
        }
        let had = self.log.iter().any(|entry| matches!(entry.source, Source::Wal(_)));
        self.keep_in_memory(db);
        let moved = self.tail.is_some_and(|(salts, _)| salts != db.salts);
        if had && moved && !without.has(Step::WhatWasKeptIsLookedAtAgain) {
            // Nothing is lost by that: it begins anew, and finds out what differs.
            db.die(Party::Ours);
            *self = Self::down();
        }
    }

    /// `CommitLog::seal`.
    fn keep_in_memory(&mut self, db: &Database) {
        for entry in &mut self.log {
            if let Source::Wal(frame) = entry.source {
                entry.source = Source::Memory(db.frames.get(usize::from(frame)).copied().unwrap_or(State::MAX));
            }
        }
    }

    /// The new pin is taken before the guard is dropped.
    fn leave_guard(&mut self, db: &mut Database, without: &Without, step: u8) {
        let late = without.has(Step::AGuardIsKeptUntilThereIsAPin);
        match (step, late) {
            (0, true) | (2, false) => {
                let lease = self.lease.is_some() && !without.has(Step::ALeaseKeepsItsGuard);
                if lease {
                    self.held_for_lease = true;
                } else {
                    db.lines[self.held] = None;
                }
            }
            (0, false) | (1, true) => db.lines[self.other()] = Some(db.begin_read()),
            _ => self.enter_wal(db, without),
        }
        self.at = At::Leave(step + 1);
        if step == 2 {
            self.held = self.other();
            self.at = At::Idle;
            if without.has(Step::Pin) {
                db.lines[self.held] = None;
            }
        }
    }

    fn enter_wal(&mut self, db: &Database, without: &Without) {
        let index = db.index();
        if self.tail.is_none_or(|(salts, _)| salts != index.salts) {
            let jumps = self.tail.is_some_and(|(salts, _)| salts + 1 != index.salts);
            let unproved = jumps && !without.has(Step::SaltsCountUpByOne);
            self.lost |= unproved && !db.stands_at(self.captured);
            self.tail = Some((index.salts, 0));
        }
        self.capture(db, index);
        self.hold = Hold::Pinned { mark: index.frames };
    }

    /// The new pin is taken before the old one is dropped.
    fn move_pin(&mut self, db: &mut Database, without: &Without, step: u8) {
        let late = without.has(Step::APinIsKeptUntilThereIsAnother);
        match (step, late) {
            (0, true) | (1, false) => db.lines[self.held] = None,
            _ => {
                db.lines[self.other()] = Some(db.begin_read());
                let index = db.index();
                self.capture(db, index);
                self.hold = Hold::Pinned { mark: index.frames };
            }
        }
        self.at = At::Move(1);
        if step == 1 {
            self.held = self.other();
            self.at = At::Bulk;
        }
    }

    /// From the bulk to the guard.
    fn seal(&mut self, db: &mut Database, without: &Without) {
        let other = self.other();
        self.at = match self.at {
            At::Bulk if db.begin_checkpoint(Party::Ours) => At::BulkEnd,
            // Somebody else is at it, or a reader is in the way.
            At::Bulk if db.checkpoint.is_some() => At::Idle,
            At::Bulk => At::Lock,
            At::BulkEnd => {
                db.go_on_checkpointing(Party::Ours);
                if db.checkpoint.is_some() {
                    return;
                }
                let index = db.index();
                self.capture(db, index);
                At::Lock
            }
            At::Lock if without.has(Step::Sealing) => At::Capture,
            At::Lock if db.writer.is_some() && !without.has(Step::SealingTakesTheWriteLock) => At::Idle,
            At::Lock => {
                db.lines[other] = Some(db.begin_read());
                if !without.has(Step::SealingTakesTheWriteLock) {
                    db.writer = Some(Party::Ours);
                }
                At::Capture
            }
            At::Capture => {
                if !without.has(Step::SealingCaptures) {
                    let index = db.index();
                    self.capture(db, index);
                }
                At::Drop
            }
            At::Drop => {
                db.lines[self.held] = None;
                At::Copy
            }
            At::Copy if db.begin_checkpoint(Party::Ours) => At::CopyEnd,
            At::Copy => At::Again { complete: db.checkpoint.is_none() && db.index().is_copied() },
            At::CopyEnd => {
                db.go_on_checkpointing(Party::Ours);
                if db.checkpoint.is_some() {
                    return;
                }
                At::Again { complete: db.index().is_copied() }
            }
            At::Again { complete } if without.has(Step::AGuardIsTakenUnderTheWriteLock) => {
                self.unlock(db);
                self.at = At::Decide { complete };
                return;
            }
            At::Again { complete } => {
                db.lines[self.held] = Some(db.begin_read());
                At::Decide { complete }
            }
            At::Decide { complete } => {
                if without.has(Step::AGuardIsTakenUnderTheWriteLock) {
                    db.lines[self.held] = Some(db.begin_read());
                }
                self.decide(db, without, complete);
                At::Unlock
            }
            At::Unlock => {
                self.unlock(db);
                At::Idle
            }
            at => at,
        };
    }

    fn unlock(&self, db: &mut Database) {
        db.lines[self.other()] = None;
        db.writer.take_if(|writer| *writer == Party::Ours);
    }

    /// Guarded, if everything is copied back.
    fn decide(&mut self, db: &mut Database, without: &Without, complete: bool) {
        let index = db.index();
        let copied = if without.has(Step::TheWalIndexDecides) { complete } else { index.is_copied() };
        if !copied && !without.has(Step::AGuardNeedsEverythingCopied) {
            self.hold = Hold::Pinned { mark: index.frames };
            return;
        }
        if !without.has(Step::WhatIsUnshippedIsKeptInMemory) {
            self.keep_in_memory(db);
        }
        self.hold = Hold::Guarded;
        if without.has(Step::Guard) {
            db.lines[self.held] = None;
        }
    }
}
