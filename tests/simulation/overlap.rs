//! Two machines with copies of one database, both of which are replicated to the same place.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::app::App;
use super::machine::Machine;
use super::replicator::Replicator;
use super::world::World;

const MS: Duration = Duration::from_millis(1);

/// The machine that was there before, and will be gone.
struct Old {
    app: Rc<RefCell<App>>,
    replicator: Replicator,
}

impl World {
    /// A deployment goes on with a copy of the disk, while the machine before it is still running. Only where nothing
    /// is deleted: what another replicator writes is kept no longer than anything else.
    pub(super) fn overlap(&mut self) -> Result<(), String> {
        let count = self.stores.len();
        let Some(replicator) = self.replicator.take() else { return Ok(()) };
        let Some(files) = self.app.borrow().files().filter(|_| (0..count).all(|n| self.settings.keeps_everything(n)))
        else {
            self.replicator = Some(replicator);
            return Ok(());
        };
        self.trace.add("world", "another machine begins with a copy of the disk, and this one goes on");
        let app = self.app.borrow().another();
        let before = std::mem::replace(&mut self.app, Rc::new(RefCell::new(app)));
        let mut old = Old { app: before, replicator };
        self.replicator = None;
        let acting = Rc::clone(&self.app);
        let machines = self.random_of_harm().u64(..);
        // The machine that acted until now stays that of the replicator that it was made for.
        self.machine = Machine::new(machines, move || {
            if let Ok(mut app) = acting.try_borrow_mut() {
                app.step();
            }
        });
        // With the same name two writers that merge may take what is each other's (docs/reliability.md).
        let with_state = self.settings.never_merges() && self.random_of_harm().bool();
        self.move_with(&files, with_state);
        self.start();
        for _ in 0..self.random_of_harm().u32(5..40) {
            self.act_together(&mut old)?;
        }
        self.end_overlap(old)
    }

    /// Both do something, and time passes for both.
    fn act_together(&mut self, old: &mut Old) -> Result<(), String> {
        let (mine, theirs) = (self.random_of_harm().u32(0..4), self.random_of_harm().u32(0..4));
        (0..mine).for_each(|_| self.app.borrow_mut().step());
        (0..theirs).for_each(|_| old.app.borrow_mut().step());
        self.note_again();
        let longest = [30, 300, 2000][self.random_of_harm().usize(0..3)];
        let mut left = MS * self.random_of_harm().u32(0..longest);
        while left > Duration::ZERO {
            // Finer than most requests take.
            let slice = (MS * self.random_of_harm().u32(1..12)).min(left);
            left -= slice;
            let began = self.clock.reading();
            self.wait(slice);
            let mine = self.clock.reading();
            self.clock.set(began);
            old.replicator.go_on(slice);
            let theirs = self.clock.reading();
            self.clock.set(mine.max(theirs));
        }
        match self.random_of_harm().u32(0..12) {
            0 => self.change_weather(),
            1 => {
                self.kill();
                self.start();
            }
            2..5 => self.check_both(old)?,
            _ => {}
        }
        Ok(())
    }

    /// A history of the older machine may go on with the state of the newer one, whose last commit may be older.
    fn note_again(&self) {
        self.app.borrow_mut().newest();
    }

    /// What each of them says that it has shipped is there.
    fn check_both(&self, old: &Old) -> Result<(), String> {
        let mine = self.replicator.as_ref().map(Replicator::positions).unwrap_or_default();
        let theirs = old.replicator.positions();
        for (number, store) in self.stores.iter().enumerate() {
            let (frozen, oracle) = (store.frozen(), self.oracle.borrow());
            let of = |what: String| format!("replica r{number}, which two write to: {what}");
            super::check::states(&frozen, &oracle).map_err(of)?;
            store.overwritten().map_or(Ok(()), Err).map_err(of)?;
            let shipped = [mine.get(number), theirs.get(number)].map(|position| position.copied().flatten());
            let at = |position| self.checker.at(&frozen, &oracle, position).map_err(of);
            let [mine, theirs] = shipped.map(|position| position.map(at).transpose());
            // The newest state may be that of one which has just been started, and says nothing yet.
            self.checker.newest(&frozen, &oracle, mine?.min(theirs?)).map_err(of)?;
            self.checker.verify(&frozen).map_err(of)?;
        }
        Ok(())
    }

    /// The older machine goes, and the newer one commits something, so that the newest state is one of its own.
    fn end_overlap(&mut self, old: Old) -> Result<(), String> {
        self.stores.iter().for_each(|store| store.set_weather(super::store::Weather::Fine));
        old.app.borrow_mut().rest();
        let positions = old.replicator.positions();
        if self.random_of_harm().bool() {
            let complete = old.replicator.stop();
            self.trace.add("world", format_args!("the older machine has stopped, complete: {complete}"));
        } else {
            self.trace.add("world", "the older machine is killed");
        }
        old.app.borrow_mut().crash();
        self.kill();
        self.note_again();
        self.start();
        for _ in 0..20 {
            self.wait(MS * 1000);
            if self.app.borrow_mut().touch() {
                break;
            }
        }
        for (number, position) in positions.into_iter().enumerate() {
            let (frozen, oracle) = (self.stores[number].frozen(), self.oracle.borrow());
            let of = |what: String| format!("replica r{number}, of the older machine: {what}");
            if let Some(position) = position {
                self.checker.at(&frozen, &oracle, position).map_err(of)?;
            }
        }
        self.settle()
    }
}
