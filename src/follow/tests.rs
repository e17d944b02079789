use super::*;
use crate::types::Generation;

/// A new database, and the application that made it with `sql`.
pub(super) fn database(sql: &str) -> (tempfile::TempDir, PathBuf, rusqlite::Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let app = rusqlite::Connection::open(&path).unwrap();
    app.execute_batch(sql).unwrap();
    (folder, path, app)
}

fn write(app: &rusqlite::Connection, bytes: u32) {
    app.execute("INSERT INTO t VALUES (randomblob(?1))", [bytes]).unwrap();
}

#[test]
fn a_snapshot_that_nobody_takes_does_not_keep_the_wal_from_restarting_for_ever() {
    let (folder, path, app) = database("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)");
    let limits = Limits { checkpoint_pages: 10, wal_bytes: 200 << 10, ..Limits::default() };
    let now = Timestamp(1);
    let mut follower =
        attach(&path, limits, &[None], &Baseline::new(folder.path(), None), Generation(1), now).unwrap().follower;

    let mut offered = 0;
    for _ in 0..200 {
        write(&app, 20_000);
        follower.tick(now).unwrap();
        if let Work::Snapshot(ticket) = follower.log().work(0, 1 << 20) {
            // An attempt that fails: the ticket is let go, and asked for again later.
            offered = offered.max(ticket.size.0);
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    let wal = std::fs::metadata(path.with_file_name("app.db-wal")).unwrap().len();
    assert!(wal < 1 << 20, "4 MB were written, the WAL may have 200 KB, and it has {wal}");
    assert!(offered > 400, "a later snapshot is offered: {offered} pages");
}

#[test]
fn a_snapshot_that_is_being_copied_is_left_alone() {
    let (folder, path, app) = database("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)");
    let limits = Limits { checkpoint_pages: 10, wal_bytes: 200 << 10, ..Limits::default() };
    let now = Timestamp(1);
    let mut follower =
        attach(&path, limits, &[None], &Baseline::new(folder.path(), None), Generation(1), now).unwrap().follower;
    follower.tick(now).unwrap();
    let Work::Snapshot(ticket) = follower.log().work(0, 1 << 20) else { panic!("no snapshot is offered") };
    for _ in 0..50 {
        write(&app, 20_000);
        follower.tick(now).unwrap();
    }
    assert!(follower.log().shipped(0, ticket.index, ticket.mark()));
    assert!(matches!(follower.log().work(0, 1 << 20), Work::Segment(_)));
}

/// To take a pin can mean to wait for a writer that is interrupted in its commit: never where timers and uploads wait.
#[test]
fn a_guard_is_left_where_it_may_block() {
    let (folder, path, app) =
        database("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint(TRUNCATE)");
    let now = Timestamp(1);
    let baseline = Baseline::new(folder.path(), None);
    let mut follower = attach(&path, Limits::default(), &[], &baseline, Generation(1), now).unwrap().follower;
    follower.tick(now).unwrap();
    assert!(follower.hold == Hold::Guarded && matches!(follower.need(), Need::Nothing(_)));
    write(&app, 10);
    assert_eq!(follower.need(), Need::Heavy);
    follower.tick(now).unwrap();
    assert!(matches!(follower.hold, Hold::Pinned { .. }));
    write(&app, 10);
    assert_eq!(follower.need(), Need::Light);
}

/// Each commit changes the same page, and each time the WAL begins anew: it always has the same size.
#[test]
fn commits_are_noticed_though_the_wal_never_changes_its_size() {
    let (folder, path, app) = database("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)");
    write(&app, 10);
    let (now, baseline) = (Timestamp(1), Baseline::new(folder.path(), None));
    let limits = Limits { checkpoint_pages: 0, ..Limits::default() };
    let mut follower = attach(&path, limits, &[], &baseline, Generation(1), now).unwrap().follower;
    follower.tick(now).unwrap();
    let mut sizes = HashSet::new();
    for _ in 0..20 {
        app.execute_batch("UPDATE t SET x = randomblob(10)").unwrap();
        sizes.insert(follower.lines[follower.held].wal_index().unwrap().frames);
        let tick = follower.tick(now).unwrap();
        assert_eq!((tick.commits, tick.handover), (1, true));
    }
    assert_eq!(sizes, HashSet::from([1]));
}

/// Half of what a dying writer leaves of the wal-index header.
fn tear(path: &Path) {
    // Another process: to close the file here would let go of our locks.
    let file = format!("of={}-shm", path.display());
    let arguments = ["if=/dev/zero", &file, "bs=1", "seek=88", "count=8", "conv=notrunc", "status=none"];
    assert!(std::process::Command::new("dd").args(arguments).status().unwrap().success());
}

/// The application has been killed while it wrote the second copy of the wal-index header. Whoever reads next makes the
/// wal-index anew, and that need not be the application.
#[test]
fn a_wal_index_that_was_left_half_written_is_made_anew() {
    let (folder, path, app) = database("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)");
    let (now, baseline) = (Timestamp(1), Baseline::new(folder.path(), None));
    let limits = Limits { checkpoint_pages: 0, ..Limits::default() };
    let mut follower = attach(&path, limits, &[], &baseline, Generation(1), now).unwrap().follower;
    for guarded in [false, true, false, true] {
        write(&app, 10);
        follower.look(now).unwrap();
        if guarded {
            assert!(follower.tick(now).unwrap().handover);
        }
        tear(&path);
        assert!(follower.lines[follower.held].wal_index().is_err());
        assert_eq!(follower.tick(now).unwrap().commits, 0);
        write(&app, 10);
        assert_eq!(follower.tick(now).unwrap().commits, 1, "guarded: {guarded}");
    }
}

/// A snapshot that has begun, and the WAL in which the application has gone on.
fn leased(path: &Path, app: &rusqlite::Connection, limits: Limits) -> (Follower, Arc<SnapshotTicket>) {
    let (now, baseline) = (Timestamp(1), Baseline::new(path.parent().unwrap(), None));
    let mut follower = attach(path, limits, &[None], &baseline, Generation(1), now).unwrap().follower;
    follower.tick(now).unwrap();
    let Work::Snapshot(ticket) = follower.log().work(0, 1 << 20) else { panic!("no snapshot is offered") };
    write(app, 10);
    follower.tick(now).unwrap();
    assert!(follower.held_for_lease);
    (follower, ticket)
}

/// It would keep all writers waiting for the snapshot.
#[test]
fn a_checkpoint_of_the_applications_is_refused_at_once_while_a_snapshot_is_copied() {
    let (_folder, path, app) = database("PRAGMA journal_mode = wal; CREATE TABLE t (x)");
    app.busy_timeout(Duration::from_secs(1)).unwrap();
    let checkpoint = || -> (u32, i32) {
        app.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let (mut follower, ticket) = leased(&path, &app, Limits::default());
    // Busy before it has even counted the frames.
    assert_eq!(checkpoint(), (1, -1));

    assert!(follower.log().shipped(0, ticket.index, ticket.mark()));
    drop(ticket);
    follower.look(Timestamp(1)).unwrap();
    assert!(!follower.checkpointer.refuses_others());
    app.busy_timeout(Duration::ZERO).unwrap();
    assert_ne!(checkpoint().1, -1, "looked for what is to be copied");
}

/// Whoever makes the wal-index anew needs the lock by which checkpoints are refused.
#[test]
fn a_wal_index_is_made_anew_also_while_a_snapshot_is_copied() {
    let (_folder, path, app) = database("PRAGMA journal_mode = wal; CREATE TABLE t (x)");
    let (mut follower, _ticket) = leased(&path, &app, Limits::default());
    assert!(follower.checkpointer.refuses_others());
    tear(&path);
    assert_eq!(follower.tick(Timestamp(1)).unwrap().commits, 0);
    write(&app, 10);
    assert_eq!(follower.tick(Timestamp(1)).unwrap().commits, 1);
    assert!(follower.held_for_lease && follower.checkpointer.refuses_others(), "and they are refused again");
}

/// SQLite lets go of a lock by itself only when no connection of the process has the wal-index open any more.
#[test]
fn a_follower_that_ends_while_a_snapshot_is_copied_leaves_the_application_its_checkpoints() {
    let (_folder, path, app) = database("PRAGMA journal_mode = wal; CREATE TABLE t (x)");
    let (follower, _ticket) = leased(&path, &app, Limits::default());
    assert!(follower.checkpointer.refuses_others());
    drop(follower);
    let busy: u32 = app.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}

/// What the commits of an old SQLite left without checksums is copied back whoever refuses checkpoints.
#[test]
fn unsealed_frames_are_saved_also_while_a_snapshot_is_copied() {
    let (_folder, path, app) = database("PRAGMA journal_mode = wal; CREATE TABLE t (x)");
    let (mut follower, _ticket) = leased(&path, &app, Limits::default());
    let fault = FrameFault::Salts { expected: Salts { first: 1, second: 1 }, found: Salts::default() };
    follower.save_unsealed(&Lost::Frame { offset: 32, fault });
    assert_eq!(std::fs::metadata(path.with_file_name("app.db-wal")).unwrap().len(), 0);
}
