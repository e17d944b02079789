//! The locks that our process holds, as the kernel sees them (`/proc/locks`), after every public operation.

mod operations;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::log::Work;
use super::super::wal_file::WalFile;
use super::super::{Baseline, LetGo, Limits, Need, attach, observe};
use super::*;
use crate::sqlite::Connection;
use crate::types::Generation;

/// Where SQLite's locks are: in the database file (sqlite.org/lockingv3.html) and in the -shm file
/// (sqlite.org/walformat.html, section 2.3).
const SHARED: (u64, u64) = (0x4000_0002, 0x4000_01ff);
const WRITE: u64 = 120;
const CHECKPOINT: u64 = 121;
const READ_0: u64 = 123;
const READ_MARKS: std::ops::RangeInclusive<u64> = 124..=127;
const IN_USE: u64 = 128;

/// Ranges of `file` that this process has locked, each with whether for itself alone.
fn locks(file: &Path) -> Vec<(u64, u64, bool)> {
    let inode = fs::metadata(file).unwrap().ino().to_string();
    let pid = std::process::id().to_string();
    // The table is not read in one piece: while others' locks come and go one of ours may be passed over, but not each
    // time.
    let table: String = (0..10).map(|_| fs::read_to_string("/proc/locks").unwrap()).collect();
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., kind, owner, file, from, to] = words[..] else { return None };
        let ours = owner == pid && file.rsplit(':').next() == Some(&inode);
        ours.then(|| (from.parse().unwrap(), to.parse().unwrap_or(u64::MAX), kind == "WRITE"))
    };
    let mut all: Vec<_> = table.lines().filter_map(parse).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn shm(path: &Path) -> PathBuf {
    path.with_file_name("app.db-shm")
}

/// Adjoining locks are one in the table.
fn bytes(file: &Path) -> Vec<(u64, bool)> {
    locks(file).into_iter().flat_map(|(from, to, alone)| (from..=to).map(move |byte| (byte, alone))).collect()
}

/// Exactly the locks that `hold` means, and that say that the files are in use.
fn assert_locks(follower: &Follower, path: &Path, when: &str) {
    assert_eq!(locks(path), [(SHARED.0, SHARED.1, false)], "{when}: of the database file");
    let held = bytes(&shm(path));
    assert!(held.contains(&(IN_USE, false)), "{when}: {held:?}");
    let reads: Vec<(u64, bool)> = held.into_iter().filter(|(byte, _)| *byte != IN_USE).collect();
    let is_mark = |(byte, alone): &(u64, bool)| READ_MARKS.contains(byte) && !alone;
    if follower.hold == Hold::Guarded {
        assert_eq!(reads, [(READ_0, false)], "{when}: guarded");
        return;
    }
    let refused = follower.checkpointer.refuses_others().then_some((CHECKPOINT, false));
    let file = follower.held_for_lease.then_some((READ_0, false));
    let Some((mark, others)) = reads.split_last() else { panic!("{when}: no pin") };
    assert_eq!(others, refused.into_iter().chain(file).collect::<Vec<_>>(), "{when}: beside the pin {mark:?}");
    assert!(is_mark(mark), "{when}: pinned {mark:?}");
}

/// The application: in this process, or in one of its own.
enum App {
    Here(rusqlite::Connection),
    Elsewhere(Child),
}

impl App {
    fn new(path: &Path, here: bool) -> Self {
        let mut app = Self::another_or_here(path, here);
        app.run("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)");
        app
    }

    fn another_or_here(path: &Path, here: bool) -> Self {
        if here { Self::Here(rusqlite::Connection::open(path).unwrap()) } else { Self::another(path) }
    }

    /// In a process of its own.
    fn another(path: &Path) -> Self {
        let shell = Command::new("sqlite3").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self::Elsewhere(shell.unwrap())
    }

    fn run(&mut self, sql: &str) {
        match self {
            Self::Here(connection) => connection.execute_batch(sql).unwrap(),
            Self::Elsewhere(child) => {
                writeln!(child.stdin.as_mut().unwrap(), "{sql};\n.print done").unwrap();
                let mut lines =
                    std::io::BufRead::lines(std::io::BufReader::new(OneByte(child.stdout.as_mut().unwrap())));
                assert!(lines.any(|line| line.unwrap() == "done"));
            }
        }
    }
}

/// What one reader has read ahead, the next one lacks.
struct OneByte<'a>(&'a mut std::process::ChildStdout);

impl std::io::Read for OneByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Self::Elsewhere(child) = self {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

/// Every public operation in turn, beside an application that is idle whenever the locks are looked at.
fn operate(app: &mut App, path: &Path) -> Follower {
    let limits = Limits { checkpoint_pages: 0, ..Limits::default() };
    let (now, baseline) = (Timestamp(1), Baseline::new(path.parent().unwrap(), None));
    let mut follower = attach(path, limits, &[None], &baseline, Generation(1), now).unwrap().follower;
    assert_locks(&follower, path, "attached");
    observe(path).unwrap();
    assert_locks(&follower, path, "observed beside it");
    drop(Connection::open(path).unwrap());
    assert_locks(&follower, path, "another connection opened and closed");
    assert_eq!(follower.need(), Need::Heavy);
    assert_locks(&follower, path, "asked for its need");
    assert!(follower.tick(now).unwrap().handover);
    assert_locks(&follower, path, "handed over");
    let Work::Snapshot(ticket) = follower.log().work(0, 1 << 20) else { panic!("no snapshot is offered") };
    ticket.copy(|_, _| Ok(())).unwrap();
    assert_locks(&follower, path, "copied a snapshot");
    app.run("INSERT INTO t VALUES (1)");
    follower.look(now).unwrap();
    assert!(follower.held_for_lease && follower.checkpointer.refuses_others());
    assert_locks(&follower, path, "left the guard while a snapshot is copied");
    ticket.copy(|_, _| Ok(())).unwrap();
    assert_locks(&follower, path, "copied a snapshot once more");
    assert!(follower.log().shipped(0, ticket.index, ticket.mark()));
    drop(ticket);
    follower.look(now).unwrap();
    assert!(!follower.held_for_lease && follower.checkpointer.refuses_others(), "until the handover that is due");
    assert_locks(&follower, path, "let the snapshot go");
    drop(WalFile::open(path).unwrap());
    follower.check_identity().unwrap();
    let _ = (follower.is_alone(), follower.may_let_go(), follower.waits_for_shippers());
    assert_locks(&follower, path, "looked at the WAL and at others");
    for round in 0..5 {
        app.run("INSERT INTO t VALUES (randomblob(9000))");
        follower.look(now).unwrap();
        assert_locks(&follower, path, &format!("captured {round}"));
        assert!(follower.tick(now).unwrap().handover);
        assert_locks(&follower, path, &format!("handed over {round}"));
    }
    follower
}

fn scene(here: bool) -> (tempfile::TempDir, PathBuf, App) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let app = App::new(&path, here);
    (folder, path, app)
}

#[test]
fn beside_an_application_exactly_the_locks_that_are_believed_to_be_held_are_held() {
    let (_folder, path, mut app) = scene(false);
    let follower = operate(&mut app, &path);
    drop(follower);
    assert_eq!((locks(&path), locks(&shm(&path))), (vec![], vec![]), "nothing is left when it ends");
}

#[test]
fn within_an_application_exactly_the_locks_that_are_believed_to_be_held_are_held() {
    let (_folder, path, mut app) = scene(true);
    let follower = operate(&mut app, &path);
    // The application's own locks are not lost with ours.
    drop(follower);
    assert_eq!(locks(&path), [(SHARED.0, SHARED.1, false)]);
    assert_eq!(bytes(&shm(&path)), [(IN_USE, false)]);
}

/// The write lock is held from the last capture until the guard is taken, and then let go.
#[test]
fn the_write_lock_is_held_while_sealing_and_not_longer() {
    [false, true].into_iter().for_each(seals);
}

fn seals(here: bool) {
    let (_folder, path, mut app) = scene(here);
    let mut follower = operate(&mut app, &path);
    app.run("INSERT INTO t VALUES (2)");
    follower.look(Timestamp(1)).unwrap();
    assert!(matches!(follower.hold, Hold::Pinned { .. }));
    let other = 1 - follower.held;
    follower.lines[other].begin_write().unwrap();
    assert!(bytes(&shm(&path)).contains(&(WRITE, true)));
    follower.log.shipped(0, follower.next_index, follower.mark_here());
    assert!(follower.seal(Timestamp(1)).unwrap());
    let sealed = bytes(&shm(&path));
    assert!(sealed.contains(&(WRITE, true)) && sealed.contains(&(READ_0, false)), "{sealed:?}");
    follower.lines[other].end();
    assert_locks(&follower, &path, "sealed");
}

#[test]
fn a_database_that_is_let_go_of_is_locked_by_nobody() {
    let (_folder, path, mut app) = scene(false);
    let mut follower = operate(&mut app, &path);
    let everything = (follower.next_index, follower.mark_here());
    follower.log.shipped(0, everything.0, everything.1);
    drop(app);
    let LetGo::Done(seen) = follower.let_go(&path, Timestamp(1)).map_err(|(_, lost)| lost).unwrap() else {
        panic!("not now")
    };
    assert!(seen.holds() && !shm(&path).exists());
    assert_eq!(locks(&path), []);
    follower = attach(
        &path,
        Limits::default(),
        &[],
        &Baseline::new(path.parent().unwrap(), None),
        Generation(2),
        Timestamp(2),
    )
    .unwrap()
    .follower;
    assert_locks(&follower, &path, "attached again");
}

/// What SQLite says of a checkpoint of the application's (busy, frames, copied), which waits for others for `patience`;
/// the follower is asked meanwhile what it needs, if it `looks`.
fn checkpoint(app: &mut App, follower: &mut Follower, mode: &str, patience: u32, looks: bool) -> String {
    loop {
        let said = one_checkpoint(app, follower, (mode, patience), looks, |_| ());
        // It began in the very instant in which the follower looked whether there is one.
        if said != "1|-1|-1" {
            return said;
        }
    }
}

/// The same, begun once; `first` happens while it is under way.
fn one_checkpoint(
    app: &mut App,
    follower: &mut Follower,
    (mode, patience): (&str, u32),
    looks: bool,
    first: impl FnOnce(&mut Follower),
) -> String {
    let ask: Box<dyn FnOnce() -> String + Send> = match app {
        App::Here(connection) => Box::new(move || {
            connection.busy_timeout(Duration::from_millis(patience.into())).unwrap();
            let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).unwrap().to_string();
            let said = |row: &rusqlite::Row<'_>| Ok([0, 1, 2].map(|at| number(row, at)).join("|"));
            connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], said).unwrap()
        }),
        App::Elsewhere(child) => {
            writeln!(child.stdin.as_mut().unwrap(), ".timeout {patience}\nPRAGMA wal_checkpoint({mode});").unwrap();
            let output = OneByte(child.stdout.as_mut().unwrap());
            Box::new(move || io::BufRead::lines(io::BufReader::new(output)).next().unwrap().unwrap())
        }
    };
    std::thread::scope(|scope| {
        let said = scope.spawn(ask);
        first(follower);
        while !said.is_finished() {
            match follower.need() {
                Need::Heavy if looks => drop(follower.tick(Timestamp(1)).unwrap()),
                Need::Light if looks => drop(follower.look(Timestamp(1)).unwrap()),
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        said.join().unwrap()
    })
}

/// Those that wait for readers.
const MODES: [&str; 3] = ["FULL", "RESTART", "TRUNCATE"];

fn pinned(app: &mut App, path: &Path, limits: Limits) -> Follower {
    let baseline = Baseline::new(path.parent().unwrap(), None);
    let mut follower = attach(path, limits, &[], &baseline, Generation(1), Timestamp(1)).unwrap().follower;
    for _ in 0..3 {
        app.run("INSERT INTO t VALUES (randomblob(9000))");
        follower.look(Timestamp(1)).unwrap();
    }
    let frames = follower.tail_frames().unwrap();
    assert!(matches!(follower.hold, Hold::Pinned { mark } if mark < frames), "{:?}", follower.hold);
    follower
}

#[test]
fn a_checkpoint_of_the_applications_does_not_wait_for_the_pin() {
    for (mode, here) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let (_folder, path, mut app) = scene(here);
        let mut follower = pinned(&mut app, &path, Limits::default());
        for _ in 0..3 {
            app.run("INSERT INTO t VALUES (randomblob(9000))");
            let said = checkpoint(&mut app, &mut follower, mode, 2000, true);
            assert!(said.starts_with("0|"), "{said}");
            while follower.need() == Need::Heavy {
                follower.tick(Timestamp(1)).unwrap();
            }
            assert_eq!(follower.hold, Hold::Guarded, "{mode}: there is nothing left to copy");
            assert_locks(&follower, &path, mode);
        }
        app.run("INSERT INTO t VALUES (4)");
        assert_eq!(follower.tick(Timestamp(1)).unwrap().commits, 1, "nothing of it was missed");
    }
}

/// A checkpoint that waits for a reader of the application's does not notice that the reader's lock is ours meanwhile.
#[test]
fn a_checkpoint_that_waits_for_a_lock_from_before_it_became_ours_is_stepped_aside_for() {
    for (mode, here) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let (_folder, path, mut app) = scene(here);
        let mut follower = pinned(&mut app, &path, Limits { checkpoint_pages: 0, ..Limits::default() });
        // SQLite gives the first lock that is free: now that is the first one.
        follower.move_pin(Timestamp(1)).unwrap();
        app.run("INSERT INTO t VALUES (randomblob(9000))");
        let mut reader = Connection::open(&path).unwrap();
        reader.begin_read().unwrap();
        assert!(follower.tick(Timestamp(1)).unwrap().handover);
        app.run("INSERT INTO t VALUES (randomblob(9000))");
        let said = one_checkpoint(&mut app, &mut follower, (mode, 10_000), true, |follower| {
            // By now it looks only ten times a second whether the reader is gone.
            std::thread::sleep(Duration::from_millis(500));
            assert!(follower.lines[follower.held].somebody_checkpoints().unwrap());
            reader.end();
            assert_eq!(follower.look(Timestamp(1)).unwrap().commits, 1);
            assert!(matches!(follower.hold, Hold::Pinned { .. }));
        });
        assert!(said.starts_with("0|"), "{mode}, here: {here}: {said}");
        assert_locks(&follower, &path, mode);
        app.run("INSERT INTO t VALUES (4)");
        assert_eq!(follower.tick(Timestamp(1)).unwrap().commits, 1, "nothing of it was missed");
    }
}

#[test]
fn what_is_not_shipped_and_does_not_fit_into_memory_is_kept_in_the_wal_whoever_waits() {
    let (_folder, path, mut app) = scene(false);
    let limits = Limits { tail_bytes: 0, ..Limits::default() };
    let baseline = Baseline::new(path.parent().unwrap(), None);
    let mut follower = attach(&path, limits, &[None], &baseline, Generation(1), Timestamp(1)).unwrap().follower;
    follower.log.resume(0, follower.next_index, follower.mark_here());
    app.run("INSERT INTO t VALUES (randomblob(9000))");
    follower.look(Timestamp(1)).unwrap();
    let said = checkpoint(&mut app, &mut follower, "FULL", 2000, true);
    assert!(said.starts_with("0|"), "to copy it all does no harm: {said}");
    let said = checkpoint(&mut app, &mut follower, "TRUNCATE", 100, true);
    assert!(said.starts_with("1|"), "what has to be shipped is gone: {said}");
    assert!(matches!(follower.hold, Hold::Pinned { .. }));
    assert_locks(&follower, &path, "unshipped");
}

#[test]
fn when_nobody_has_committed_for_a_while_the_pin_is_at_the_end_of_the_wal() {
    let (_folder, path, mut app) = scene(false);
    let mut follower = pinned(&mut app, &path, Limits::default());
    assert!(matches!(follower.need(), Need::Light | Need::Nothing(_)), "it may not be over yet");
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(follower.need(), Need::Heavy);
    follower.tick(Timestamp(1)).unwrap();
    assert_locks(&follower, &path, "quiet");
    let said = checkpoint(&mut app, &mut follower, "FULL", 0, false);
    assert!(said.starts_with("0|"), "{said}");
}
