//! One seed: an application, a replicator, its replicas, and what befalls them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use rusqlite::ffi;
use tempfile::TempDir;

use super::app::{App, Habits};
use super::check::{Checker, states};
use super::machine::Machine;
use super::oracle::Oracle;
use super::replicator::{Replicator, Settings};
use super::store::{Store, Weather};
use super::time::WallClock;
use super::trace::Trace;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// When everything is well, a replica has everything after so long.
const PATIENCE_SECONDS: u32 = 600;

/// From this seed on there are power cuts, and two machines at a time; what seeds before it have found stays found.
pub const HARM_FROM: u64 = 1000;
/// From this one on there are large rows also, and incremental vacuums that free more than a page.
pub const RARE_FROM: u64 = 100_000;

/// What went wrong, and what happened before.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub trace: Trace,
}

pub struct World {
    random: Rng,
    /// Decides what befalls the worlds of later seeds.
    harm: Option<Rng>,
    pub(super) clock: WallClock,
    pub(super) trace: Trace,
    pub(super) oracle: Rc<RefCell<Oracle>>,
    pub(super) app: Rc<RefCell<App>>,
    habits: Habits,
    pub(super) machine: Rc<Machine>,
    pub(super) settings: Settings,
    pub(super) stores: Vec<Store>,
    /// Of each replica, the number of a commit that it has.
    shipped: Vec<Option<usize>>,
    pub(super) replicator: Option<Replicator>,
    pub(super) checker: Checker,
    /// The database's folder; a new one whenever the machine is lost.
    home: PathBuf,
    homes: u32,
    root: TempDir,
}

/// Runs a seed to its end. Returns what happened.
pub fn run(seed: u64) -> Result<Trace, Violation> {
    let mut world = World::new(seed);
    let trace = world.trace.clone();
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.live()));
    lightship::host::simulate(None);
    match lived {
        Ok(Ok(())) => Ok(trace),
        Ok(Err(what)) => Err(Violation { what, trace }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let what = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            // Its parts may not be in order any more.
            std::mem::forget(world);
            Err(Violation { what: format!("panicked: {}", what.unwrap_or_default()), trace })
        }
    }
}

/// SQLite's randomness, which salts come from, is the process's.
fn seed_sqlite(seed: u64) {
    let seed = std::ffi::c_int::try_from(seed % 0x7fff_fffe).unwrap() + 1;
    let none = std::ptr::null_mut::<ffi::sqlite3>();
    // SAFETY: this verb takes an integer and a handle, which may be null.
    unsafe { ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_PRNG_SEED, seed, none) };
}

fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

impl World {
    fn new(seed: u64) -> Self {
        fastrand::seed(seed);
        seed_sqlite(seed);
        let mut random = Rng::with_seed(seed);
        let harm = (seed >= HARM_FROM).then(|| Rng::with_seed(!seed));
        let clock = WallClock::new();
        let trace = Trace::new(&clock);
        let oracle = Rc::new(RefCell::new(Oracle::default()));
        let root = scratch();
        let home = root.path().join("home0");
        std::fs::create_dir(&home).unwrap();
        let habits = Habits {
            page_size: [512, 1024, 4096][random.usize(0..3)],
            auto_vacuum: random.u32(0..3),
            autocheckpoint: [0, 1, 10, 100, 1000][random.usize(0..5)],
            cache_pages: [2, 10, 2000][random.usize(0..3)],
            checkpoints: [0, 3, 20][random.usize(0..3)],
            moves: [0, 2, 10][random.usize(0..3)],
        };
        let mut app = App::new(&home.join("app.db"), random.fork(), habits.clone(), (&clock, &trace), &oracle);
        app.rare = (seed >= RARE_FROM).then(|| Rng::with_seed(seed.reverse_bits()));
        let app = Rc::new(RefCell::new(app));
        let acting = Rc::clone(&app);
        let machine = Machine::new(random.u64(..), move || {
            if let Ok(mut app) = acting.try_borrow_mut() {
                app.step();
            }
        });
        let count = random.usize(1..3);
        let stores = (0..count).map(|n| Store::new(&format!("r{n}"), random.u64(..), &clock, &trace)).collect();
        let settings = Settings::new(&mut random, count);
        trace.add("world", format_args!("{habits:?} {settings:?}"));
        let checker = Checker::new(root.path(), seed);
        let shipped = vec![None; count];
        Self {
            random,
            harm,
            clock,
            trace,
            oracle,
            app,
            habits,
            machine,
            settings,
            stores,
            shipped,
            replicator: None,
            checker,
            home,
            homes: 0,
            root,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        if self.random.u32(0..4) > 0 {
            self.app.borrow_mut().open();
        }
        self.start();
        for _ in 0..self.random.u32(20..80) {
            self.step()?;
            if let Some(damage) = self.app.borrow_mut().damage.take() {
                return Err(format!("the source is damaged: {damage}"));
            }
        }
        self.settle()?;
        self.stop()?;
        for number in 0..self.stores.len() {
            self.check(number, true)?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        match self.harm.as_mut().map_or(u32::MAX, |harm| harm.u32(0..40)) {
            0 => self.cut_power(),
            1 => self.overlap()?,
            _ => {}
        }
        match self.random.u32(0..100) {
            0..45 => {
                let steps = self.random.u32(1..6);
                (0..steps).for_each(|_| self.app.borrow_mut().step());
                let wait = self.random.u64(0..60);
                self.wait(MS * u32::try_from(wait).unwrap());
            }
            45..70 => {
                let wait = MS * self.random.u32(1..3000);
                self.wait(wait);
            }
            70..75 => {
                let wait = SECOND * self.random.u32(1..200);
                self.wait(wait);
            }
            75..83 => self.change_weather(),
            83..87 => self.kill(),
            87..91 if self.replicator.is_none() => self.start(),
            87..89 => self.stop()?,
            89..91 => self.kill(),
            91 => self.lose_machine(),
            92 => self.restore(),
            93 => self.lose_state(),
            94 => self.set_clock(),
            95..99 => {
                let number = self.random.usize(0..self.stores.len());
                self.check(number, false)?;
            }
            _ => self.settle()?,
        }
        if self.replicator.is_none() && self.random.u32(0..4) == 0 {
            self.start();
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.home.join("app.db")
    }

    fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    pub(super) fn wait(&mut self, length: Duration) {
        match &mut self.replicator {
            Some(replicator) => replicator.go_on(length),
            None => self.clock.step(length, true),
        }
    }

    pub(super) fn start(&mut self) {
        if self.replicator.is_some() {
            return;
        }
        self.trace.add("world", "the replicator is started");
        let (path, state) = (self.path(), self.state());
        let places = (path.as_path(), state.as_path());
        self.replicator = Some(Replicator::start(&self.settings, places, &self.stores, &self.clock, &self.machine));
    }

    pub(super) fn kill(&mut self) {
        if self.replicator.take().is_some() {
            self.trace.add("world", "the replicator is killed");
        }
    }

    /// If it says that every replica has everything, it is so.
    fn stop(&mut self) -> Result<(), String> {
        let Some(replicator) = self.replicator.take() else { return Ok(()) };
        let before = self.app.borrow_mut().newest();
        let complete = replicator.stop();
        self.trace.add("world", format_args!("the replicator has stopped, complete: {complete}"));
        if !complete {
            return Ok(());
        }
        for number in 0..self.stores.len() {
            self.shipped[number] = self.shipped[number].max(before);
            self.check(number, false)?;
        }
        Ok(())
    }

    pub(super) fn change_weather(&mut self) {
        let number = self.random.usize(0..self.stores.len());
        let weather = match self.random.u32(0..6) {
            0..2 => Weather::Fine,
            2..4 => Weather::Rough(self.random.u32(3..12)),
            4 => Weather::Rough(50),
            _ => Weather::Dead,
        };
        self.trace.add("world", format_args!("r{number} is {weather:?}"));
        self.stores[number].set_weather(weather);
    }

    /// The machine is gone, and another goes on with a copy of its disk.
    fn lose_machine(&mut self) {
        self.kill();
        if !self.path().exists() {
            return;
        }
        let copy = |name: &str| Some((name.to_owned(), std::fs::read(self.home.join(name)).ok()?));
        let files: Vec<_> = ["app.db", "app.db-wal", "app.db-journal"].into_iter().filter_map(copy).collect();
        self.trace.add("world", "another machine goes on with a copy of the disk");
        self.move_to(&files);
    }

    /// As if the machine had lost its power: the newest commits may be gone, and be in a replica.
    fn cut_power(&mut self) {
        self.kill();
        let Some(harm) = &mut self.harm else { return };
        let Some(mut files) = self.app.borrow().files() else { return };
        let shm = std::fs::read(self.home.join("app.db-shm")).unwrap_or_default();
        if let Some((_, wal)) = files.iter_mut().find(|(name, _)| name == "app.db-wal") {
            super::power::cut_wal(wal, &shm, harm);
        }
        let torn = super::power::tear_state(&self.home.join("state"), &self.root.path().join("older-state"), harm);
        self.app.borrow_mut().crash();
        self.trace.add("world", format_args!("the power is cut; of the state folder there are:{torn}"));
        self.move_with(&files, true);
    }

    /// What decides on harm.
    pub(super) fn random_of_harm(&mut self) -> &mut Rng {
        self.harm.as_mut().expect("there is harm")
    }

    /// Somebody restores the database, perhaps to an older state, and the application goes on with that.
    fn restore(&mut self) {
        self.kill();
        let number = self.random.usize(0..self.stores.len());
        let frozen = self.stores[number].frozen();
        let Some(bytes) = self.checker.file(&frozen, &mut self.random) else { return };
        self.trace.add("world", format_args!("the application goes on with what is restored from r{number}"));
        self.move_to(&[("app.db".to_owned(), bytes)]);
    }

    /// The application goes on with these files, in a folder of its own.
    fn move_to(&mut self, files: &[(String, Vec<u8>)]) {
        let with_state = self.random.u32(0..3) > 0;
        self.app.borrow_mut().crash();
        self.move_with(files, with_state);
    }

    /// The same, with the state folder or without. Whoever used the files before is not there any more, or is another.
    pub(super) fn move_with(&mut self, files: &[(String, Vec<u8>)], with_state: bool) {
        self.homes += 1;
        let home = self.root.path().join(format!("home{}", self.homes));
        std::fs::create_dir(&home).unwrap();
        for (name, bytes) in files {
            std::fs::write(home.join(name), bytes).unwrap();
        }
        if with_state && self.state().exists() {
            copy_folder(&self.state(), &home.join("state"));
            self.trace.add("world", "the state folder too");
        }
        self.home = home;
        let clocks = (&self.clock, &self.trace);
        let mut app = App::new(&self.path(), self.random.fork(), self.habits.clone(), clocks, &self.oracle);
        (app.machine, app.rare) = (self.app.borrow().machine, self.app.borrow().rare.clone());
        *self.app.borrow_mut() = app;
        self.app.borrow_mut().open();
    }

    /// The state folder is lost, or set back to what it was some time ago.
    fn lose_state(&mut self) {
        self.kill();
        let (state, older) = (self.state(), self.root.path().join("older-state"));
        let goes_back = older.exists() && self.random.bool();
        let goes = if state.exists() { Some(self.root.path().join("state-that-goes")) } else { None };
        if let Some(goes) = &goes {
            std::fs::rename(&state, goes).unwrap();
        }
        if goes_back {
            copy_folder(&older, &state);
        }
        if let Some(goes) = &goes {
            // There may be none from before.
            let _ = std::fs::remove_dir_all(&older);
            std::fs::rename(goes, &older).unwrap();
        }
        self.trace
            .add("world", format_args!("the state folder is lost; an older one is put in its place: {goes_back}"));
    }

    fn set_clock(&mut self) {
        let (by, forward) = (SECOND * self.random.u32(1..7200), self.random.bool());
        self.trace.add("world", format_args!("the clock is set {by:?}, forward: {forward}"));
        self.clock.step(by, forward);
    }

    /// What holds at any moment.
    fn check(&mut self, number: usize, thorough: bool) -> Result<(), String> {
        let keeps_everything = self.settings.keeps_everything(number);
        let kept_since = self.settings.kept_since(number, self.clock.latest());
        let position = self.replicator.as_ref().and_then(|replicator| replicator.positions()[number]);
        let frozen = self.stores[number].frozen();
        let oracle = self.oracle.borrow();
        let of = |what: String| format!("replica r{number}: {what}");
        states(&frozen, &oracle).map_err(of)?;
        self.stores[number].overwritten().map_or(Ok(()), Err).map_err(of)?;
        let newest = self.checker.newest(&frozen, &oracle, self.shipped[number]).map_err(of)?;
        if let Some(position) = position {
            let least = self.shipped[number].unwrap_or(0);
            let at = match self.checker.at(&frozen, &oracle, position) {
                // The same state may be that of a snapshot, and the way there be deleted.
                Err(error) if !keeps_everything && error.contains("cannot be restored") => {
                    newest.filter(|newest| *newest >= least).ok_or(error).map_err(of)?
                }
                at => at.map_err(of)?,
            };
            // What it had before the replicator began is not behind that.
            self.shipped[number] = Some(at.max(least));
            if newest < self.shipped[number] {
                self.checker.newest(&frozen, &oracle, self.shipped[number]).map_err(of)?;
            }
        }
        self.checker.some_commits(&frozen, &oracle, &mut self.random, kept_since).map_err(of)?;
        self.checker.had((number, &frozen), &oracle, kept_since).map_err(of)?;
        if thorough || self.random.u32(0..8) == 0 {
            self.checker.verify(&frozen).map_err(of)?;
        }
        self.trace.add("check", format_args!("r{number}: newest {newest:?}, shipped {:?}", self.shipped[number]));
        Ok(())
    }

    /// When all is well for a while, every replica has everything.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.stores.iter().for_each(|store| store.set_weather(Weather::Fine));
        self.app.borrow_mut().rest();
        self.start();
        self.trace.add("world", "all is well");
        let mut lacking = None;
        for _ in 0..PATIENCE_SECONDS / 5 {
            self.wait(5 * SECOND);
            lacking = self.lacking();
            if lacking.is_none() {
                break;
            }
        }
        self.app.borrow_mut().is_quiet = false;
        if let Some(number) = lacking {
            return Err(format!("replica r{number} does not get the newest commit"));
        }
        (0..self.stores.len()).try_for_each(|number| self.check(number, false))
    }

    /// A replica that does not end with the newest commit.
    fn lacking(&mut self) -> Option<usize> {
        let newest = self.app.borrow_mut().newest()?;
        let oracle = self.oracle.borrow();
        let lacks = |number: &usize| {
            let frozen = self.stores[*number].frozen();
            !matches!(self.checker.newest(&frozen, &oracle, Some(newest)), Ok(Some(_)))
        };
        let lacking = (0..self.stores.len()).find(lacks);
        if lacking.is_none() {
            self.shipped.fill(Some(newest));
        }
        lacking
    }
}
