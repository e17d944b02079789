//! The application: connections that read, write, checkpoint, and come and go, by the seed.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use fastrand::Rng;
use lightship::types::Clock;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::oracle::{Oracle, read};
use super::presence::Presence;
use super::sql;
use super::time::WallClock;
use super::trace::Trace;

const CONNECTIONS_MAX: usize = 4;
/// In worlds that have large rows: of so many transactions one writes such a row.
const LARGE_ONE_IN: u32 = 40;

/// What a connection is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Reading,
    Writing,
}

#[derive(Debug)]
struct User {
    connection: Connection,
    doing: Doing,
}

/// What the seed has decided for all of a world.
#[derive(Debug, Clone)]
pub struct Habits {
    pub page_size: u32,
    pub auto_vacuum: u32,
    pub autocheckpoint: u32,
    pub cache_pages: u32,
    /// Of a hundred steps, so many checkpoint.
    pub checkpoints: u32,
    /// Of a hundred steps, so many open or close something.
    pub moves: u32,
}

#[derive(Debug)]
pub struct App {
    path: PathBuf,
    random: Rng,
    habits: Habits,
    clock: WallClock,
    trace: Trace,
    oracle: Rc<RefCell<Oracle>>,
    /// On which machine it runs.
    pub machine: u32,
    /// Decides what is rare, in the worlds of later seeds.
    pub rare: Option<Rng>,
    presence: Presence,
    users: Vec<User>,
    /// What SQLite has said of the database that it must never say.
    pub damage: Option<String>,
    /// It does nothing.
    pub is_quiet: bool,
}

impl App {
    pub fn new(
        path: &Path,
        random: Rng,
        habits: Habits,
        (clock, trace): (&WallClock, &Trace),
        oracle: &Rc<RefCell<Oracle>>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            random,
            habits,
            clock: clock.clone(),
            trace: trace.clone(),
            oracle: Rc::clone(oracle),
            machine: 0,
            rare: None,
            presence: Presence::default(),
            users: Vec::new(),
            damage: None,
            is_quiet: false,
        }
    }

    /// Does something, or nothing.
    pub fn step(&mut self) {
        if self.is_quiet {
            return;
        }
        if self.users.is_empty() {
            if self.random.u32(0..4) == 0 {
                self.open();
            }
            return;
        }
        let number = self.random.usize(0..self.users.len());
        let dice = self.random.u32(0..100);
        let Habits { checkpoints, moves, .. } = self.habits;
        match dice {
            _ if dice < checkpoints => self.checkpoint(number),
            _ if dice < checkpoints + moves => self.move_about(number),
            _ => self.use_connection(number),
        }
    }

    /// Opens a connection, and creates the database if there is none.
    pub fn open(&mut self) {
        if self.users.len() >= CONNECTIONS_MAX {
            return;
        }
        let is_new = !self.path.exists();
        let connection = Connection::open(&self.path).unwrap();
        connection.busy_timeout(std::time::Duration::ZERO).unwrap();
        let Habits { page_size, auto_vacuum, autocheckpoint, cache_pages, .. } = self.habits;
        if is_new {
            let first = format!("PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum};");
            connection.execute_batch(&first).unwrap();
        }
        if self.users.is_empty() {
            self.presence.move_to(&self.path);
        }
        let settings = format!(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = off; PRAGMA wal_autocheckpoint = {autocheckpoint};
             PRAGMA cache_size = {cache_pages};"
        );
        let opened = connection.execute_batch(&settings);
        self.trace.add("app", format_args!("open {}{}", self.users.len(), said(&opened)));
        self.users.push(User { connection, doing: Doing::Nothing });
        self.presence.come();
        let number = self.users.len() - 1;
        self.observe(number);
        if is_new {
            let first = sql::first(&mut self.random);
            self.run(number, &first);
        }
    }

    fn move_about(&mut self, number: usize) {
        match self.random.u32(0..12) {
            0..5 => self.open(),
            5..9 => self.close(number),
            9 => self.close_all(),
            10 => self.crash(),
            _ => self.flip_journal(),
        }
    }

    /// Closes a connection, as a program that ends well does.
    fn close(&mut self, number: usize) {
        if self.users.len() == 1 {
            self.presence.go();
        }
        let User { connection, .. } = self.users.swap_remove(number);
        self.trace.add("app", format_args!("close, {} left", self.users.len()));
        drop(connection);
        self.settle();
    }

    /// Closes all of them.
    pub fn close_all(&mut self) {
        while !self.users.is_empty() {
            self.close(0);
        }
    }

    /// It is killed: nothing is committed, copied back or removed.
    pub fn crash(&mut self) {
        self.trace.add("app", "crash");
        for User { connection, .. } in self.users.drain(..) {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
            drop(connection);
        }
        self.presence.go();
        self.settle();
    }

    /// The database's time is the world's, as it would be if the world's time were the kernel's.
    fn settle(&self) {
        let time = self.clock.now().to_system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let time = rustix::fs::Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap(),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        // There may be no database yet.
        let _ = rustix::fs::utimensat(rustix::fs::CWD, &self.path, &times, rustix::fs::AtFlags::empty());
    }

    /// To a rollback journal and back, which works if nobody else is there.
    fn flip_journal(&mut self) {
        if self.users.len() > 1 || self.users[0].doing != Doing::Nothing {
            return;
        }
        self.presence.go();
        let connection = &self.users[0].connection;
        let flipped = connection.execute_batch("PRAGMA journal_mode = delete");
        let mode: Result<String, _> = connection.pragma_query_value(None, "journal_mode", |row| row.get(0));
        self.trace.add("app", format_args!("journal mode {}{}", mode.unwrap_or_default(), said(&flipped)));
        if self.random.bool() {
            let change = sql::transaction(&mut self.random, 0);
            self.run(0, &change);
        }
        let back = self.users[0].connection.execute_batch("PRAGMA journal_mode = wal");
        self.trace.add("app", format_args!("journal mode back{}", said(&back)));
        self.presence.come();
        self.observe(0);
    }

    fn checkpoint(&mut self, number: usize) {
        let mode = self.random.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"]).unwrap();
        let statement = format!("PRAGMA wal_checkpoint({mode})");
        let (busy, frames, copied) = match self.users[number]
            .connection
            .query_row(&statement, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        {
            Ok(done) => done,
            Err(error) => return self.trace.add("app", format_args!("{mode}{}", said::<()>(&Err(error)))),
        };
        self.trace.add("app", format_args!("checkpoint {mode}: {busy} {copied}/{frames}"));
    }

    fn use_connection(&mut self, number: usize) {
        match self.users[number].doing {
            Doing::Nothing => self.begin(number),
            Doing::Reading if self.random.u32(0..6) == 0 => self.end(number, "COMMIT"),
            Doing::Reading => {}
            Doing::Writing => match self.random.u32(0..4) {
                0 => self.end(number, "COMMIT"),
                1 if self.random.bool() => self.end(number, "ROLLBACK"),
                _ => {
                    let size = self.size(number);
                    let change = sql::change(&mut self.random, size);
                    self.run(number, &change);
                }
            },
        }
    }

    fn begin(&mut self, number: usize) {
        let size = self.size(number);
        if let Some(rare) = self.rare.as_mut().filter(|_| size <= sql::PAGES_MAX)
            && rare.u32(0..LARGE_ONE_IN) == 0
        {
            let large = sql::large(rare);
            return self.run(number, &large);
        }
        match self.random.u32(0..20) {
            0..12 => {
                let change = sql::transaction(&mut self.random, size);
                self.run(number, &change);
            }
            12 => {
                self.run(number, "BEGIN IMMEDIATE");
                if !self.users[number].connection.is_autocommit() {
                    self.users[number].doing = Doing::Writing;
                }
            }
            13..16 => {
                self.run(number, "BEGIN; SELECT count(*) FROM sqlite_schema");
                if !self.users[number].connection.is_autocommit() {
                    self.users[number].doing = Doing::Reading;
                }
            }
            16 => self.run(number, "VACUUM"),
            17 => {
                let pages = self.rare.as_mut().map_or(5, |rare| rare.u32(1..200));
                self.run(number, &format!("PRAGMA incremental_vacuum({pages})"));
            }
            _ => {
                let change = sql::shape(&mut self.random);
                self.run(number, &change);
            }
        }
    }

    fn end(&mut self, number: usize, how: &str) {
        self.run(number, how);
        if self.users[number].connection.is_autocommit() {
            self.users[number].doing = Doing::Nothing;
        }
    }

    /// Runs statements, which may fail because others are in the way, and takes note of what is committed then.
    fn run(&mut self, number: usize, statements: &str) {
        let User { connection, doing } = &mut self.users[number];
        let done = match self.rare {
            Some(_) => sql::run_to_the_end(connection, statements),
            None => connection.execute_batch(statements),
        };
        if done.is_err() && *doing == Doing::Nothing && !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        if connection.is_autocommit() {
            *doing = Doing::Nothing;
        }
        let short: String = statements.chars().take(60).map(|c| if c == '\n' { ' ' } else { c }).collect();
        self.trace.add("app", format_args!("{number}: {short}{}", said(&done)));
        if let Err(error) = &done {
            let damages = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::SystemIoFailure];
            let is_damage = error.sqlite_error_code().is_some_and(|code| damages.contains(&code));
            // Not a panic: SQLite may be calling us.
            self.damage = self.damage.take().or_else(|| is_damage.then(|| error.to_string()));
        }
        self.observe(number);
    }

    /// Takes note of what is committed, if this connection can see it.
    fn observe(&mut self, number: usize) {
        let connection = &self.users[number].connection;
        if !connection.is_autocommit() {
            return;
        }
        if let Some(bytes) = read(connection).filter(|bytes| !bytes.is_empty()) {
            let mut oracle = self.oracle.borrow_mut();
            let before = oracle.newest();
            let number = oracle.note(&bytes, self.machine);
            if before != Some(number) {
                self.trace.add("app", format_args!("committed {number}"));
            }
        }
    }

    fn size(&self, number: usize) -> u32 {
        let number_of = |what: &str| {
            let asked = self.users[number].connection.pragma_query_value(None, what, |row| row.get(0));
            asked.unwrap_or(0_u32)
        };
        // A large row that is gone leaves its pages free.
        let free = if self.rare.is_some() { number_of("freelist_count") } else { 0 };
        number_of("page_count").saturating_sub(free)
    }

    /// A copy of its disk. Nobody's locks are dropped.
    pub fn files(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let database = self.presence.read().filter(|bytes| !bytes.is_empty() && self.path.exists())?;
        let beside = ["app.db-wal", "app.db-journal"].into_iter();
        let beside =
            beside.filter_map(|name| Some((name.to_owned(), std::fs::read(self.path.with_file_name(name)).ok()?)));
        Some([("app.db".to_owned(), database)].into_iter().chain(beside).collect())
    }

    /// One that is to work with a copy of the same database, on another machine.
    pub fn another(&self) -> Self {
        let (clocks, random) = ((&self.clock, &self.trace), Rng::with_seed(self.random.clone().u64(..)));
        let other = Self::new(&self.path, random, self.habits.clone(), clocks, &self.oracle);
        let rare = self.rare.clone().map(|mut rare| rare.fork());
        Self { machine: self.machine + 1, rare, ..other }
    }

    /// Commits something. False if somebody is in the way.
    pub fn touch(&mut self) -> bool {
        self.rest();
        self.is_quiet = false;
        if self.users.is_empty() {
            self.open();
        }
        let before = self.newest();
        let number = self.random.u32(0..1_000_000);
        self.run(
            0,
            &format!("BEGIN; CREATE TABLE IF NOT EXISTS touched (n); INSERT INTO touched VALUES ({number}); COMMIT"),
        );
        self.newest() > before
    }

    /// Ends whatever is open, so that nothing is in anybody's way.
    pub fn rest(&mut self) {
        self.is_quiet = true;
        for number in 0..self.users.len() {
            if self.users[number].doing != Doing::Nothing {
                self.end(number, "ROLLBACK");
            }
        }
    }

    /// The number of the newest commit, as somebody reads it who comes now.
    pub fn newest(&mut self) -> Option<usize> {
        if !self.path.exists() {
            return None;
        }
        let connection = Connection::open(&self.path).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        let bytes = read(&connection).filter(|bytes| !bytes.is_empty())?;
        Some(self.oracle.borrow_mut().note(&bytes, self.machine))
    }
}

fn said<T>(done: &rusqlite::Result<T>) -> String {
    match done {
        Ok(_) => String::new(),
        Err(error) => format!(" ({})", error.sqlite_error_code().map_or_else(String::new, |code| format!("{code:?}"))),
    }
}
