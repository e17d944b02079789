//! Making room for checkpoints of the application's.

use super::super::wal::{Database, Lock};
use super::super::without::{Step, Without};
use super::{At, Hold, Replicator};

impl Replicator {
    /// Somebody else has copied everything back: the pin becomes a guard.
    pub(super) fn give_way(&mut self, db: &mut Database, without: &Without, step: u8) {
        let late = without.has(Step::APinIsKeptUntilThereIsAnother);
        self.at = At::Give(step + 1);
        match (step, late) {
            (0, false) | (1, true) => db.lines[self.other()] = Some(db.begin_read()),
            (1, false) => {
                let index = db.index();
                self.capture(db, index);
                if index.is_copied() || without.has(Step::WayIsGivenIfEverythingIsCopied) {
                    self.keep_in_memory(db);
                } else {
                    db.lines[self.other()] = None;
                    self.at = At::Idle;
                }
            }
            _ => db.lines[self.held] = None,
        }
        if step == 2 {
            (self.held, self.hold, self.at) = (self.other(), Hold::Guarded, At::Idle);
        }
    }

    /// The pin is let go of and taken again, while a lock whose mark is behind everything keeps the WAL.
    pub(super) fn step_aside(&mut self, db: &mut Database, without: &Without, step: u8) {
        self.at = At::Aside(step + 1);
        match step {
            0 if without.has(Step::WhoStepsAsideKeepsTheWal) => {}
            0 => db.lines[self.other()] = Some(Lock::Mark(u8::MAX)),
            1 => db.lines[self.held] = None,
            2 => db.lines[self.held] = Some(db.begin_read()),
            3 => {
                let index = db.index();
                self.capture(db, index);
                self.hold = Hold::Pinned { mark: index.frames };
                if index.is_copied() && !without.has(Step::WhoStepsAsideMayHaveBecomeAGuard) {
                    self.keep_in_memory(db);
                    self.hold = Hold::Guarded;
                }
            }
            _ => {
                db.lines[self.other()] = None;
                self.at = At::Idle;
            }
        }
    }
}
