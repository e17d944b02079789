//! The locks after the operations that need a scene of their own, beside an application and within one.

use super::*;
use crate::follow::{Lost, ResumePoint, Resumption};
use crate::segment::PageHashes;
use crate::types::{Index, Offset, PageCount, PageSet};

const NOW: Timestamp = Timestamp(1);

/// What is locked in the database file and in the -shm file.
type Locked = (Vec<(u64, u64, bool)>, Vec<(u64, bool)>);

fn locked(path: &Path) -> Locked {
    (locks(path), if shm(path).exists() { bytes(&shm(path)) } else { Vec::new() })
}

fn end_of(follower: &Follower) -> ResumePoint {
    let here = follower.mark_here();
    ResumePoint {
        generation: Generation(1),
        index: Index::default(),
        offset: Offset(here.source.offset),
        checksum: here.source.checksum,
        source: here.source,
        size: here.size,
        page_size: follower.page_size,
        digest: follower.hashes.digest(),
        time: NOW,
    }
}

/// Attaches with a history that ends at `point`, of which these page hashes are known.
fn attach_at(path: &Path, point: &ResumePoint, known: Option<PageHashes>) -> Result<(Follower, Resumption), Lost> {
    let (points, baseline) = ([Some(point.clone())], Baseline::new(path.parent().unwrap(), known));
    let attached = attach(path, Limits::default(), &points, &baseline, Generation(2), NOW)?;
    Ok((attached.follower, attached.resumption))
}

#[test]
fn whatever_following_begins_with_exactly_the_locks_that_are_believed_to_be_held_are_held() {
    for here in [false, true] {
        let (_folder, path, mut app) = scene(here);
        let before = locked(&path);
        let baseline = Baseline::new(path.parent().unwrap(), None);
        let first = attach(&path, Limits::default(), &[None], &baseline, Generation(1), NOW).unwrap().follower;
        let (end, hashes) = (end_of(&first), first.hashes().clone());
        drop(first);
        assert_eq!(locked(&path), before, "no longer followed");

        app.run("INSERT INTO t VALUES (1)");
        let (follower, how) = attach_at(&path, &end, None).unwrap();
        assert_eq!(how, Resumption::SameWal);
        assert_locks(&follower, &path, "resumed in the same WAL");
        drop(follower);

        app.run("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (2)");
        let before = locked(&path);
        assert!(matches!(attach_at(&path, &end, None), Err(Lost::HashesUnknown(_))));
        assert_eq!(locked(&path), before, "what could not begin has left nothing");
        let (follower, how) = attach_at(&path, &end, Some(hashes)).unwrap();
        assert!(matches!(how, Resumption::Difference { .. }), "{how:?}");
        assert_locks(&follower, &path, "resumed with a difference");
        drop(follower);
        assert_eq!(locked(&path), before, "no longer followed");
    }
}

#[test]
fn a_snapshot_beside_the_wal_and_a_comparison_of_pages_take_no_lock_of_their_own() {
    for here in [false, true] {
        let (_folder, path, mut app) = scene(here);
        let limits = Limits { checkpoint_pages: 0, page_check_interval: Some(Duration::ZERO), ..Limits::default() };
        let baseline = Baseline::new(path.parent().unwrap(), None);
        let mut follower = attach(&path, limits, &[None], &baseline, Generation(1), NOW).unwrap().follower;
        let mut reader = App::another(&path);
        reader.run("BEGIN; SELECT count(*) FROM t");
        app.run("INSERT INTO t VALUES (randomblob(9000))");
        follower.look(NOW).unwrap();
        follower.offer_beside_wal("a reader is in the way".to_owned(), NOW).unwrap();
        assert_locks(&follower, &path, "offered a snapshot beside the WAL");
        let Work::Snapshot(ticket) = follower.log().work(0, 1 << 20) else { panic!("no snapshot is offered") };
        assert!(ticket.overlay.is_some());
        ticket.copy(|_, _| Ok(())).unwrap();
        assert_locks(&follower, &path, "copied a snapshot beside the WAL");
        let mut pages = PageSet::default();
        (1..=ticket.size.0).filter_map(PageNo::new).for_each(|page| assert!(pages.insert(page)));
        let mut copied = PageCount(0);
        let count = |_, _: &[u8]| {
            copied.0 += 1;
            Ok(())
        };
        ticket.copy_pages(&pages, count).unwrap();
        assert_eq!(copied, ticket.size);
        assert_locks(&follower, &path, "copied pages");
        assert!(follower.log().shipped(0, ticket.index, ticket.mark()));
        drop((ticket, reader));
        follower.look(NOW).unwrap();
        assert_locks(&follower, &path, "let the snapshot go");
        assert!(follower.tick(NOW).unwrap().handover);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(120));
            follower.tick(NOW).unwrap();
            assert_locks(&follower, &path, "compared the pages of the file");
        }
    }
}

#[test]
fn a_database_that_is_switched_to_wal_mode_is_locked_by_nobody() {
    for here in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let mut app = App::another_or_here(&path, here);
        app.run("CREATE TABLE t (x)");
        let mut connection = Connection::open(&path).unwrap();
        connection.convert_to_wal().unwrap();
        drop(connection);
        assert_eq!(locked(&path), (vec![], vec![]));
        app.run("INSERT INTO t VALUES (1)");
        assert_eq!(locks(&path), if here { vec![(SHARED.0, SHARED.1, false)] } else { vec![] });
    }
}

/// To the kernel an application in our own process is nobody else, but SQLite knows of all connections of a process: it
/// closes no file and drops no lock that one of them needs.
#[test]
fn within_an_application_letting_go_leaves_it_its_locks_and_its_wal() {
    let doings = ["SELECT 1", "BEGIN; SELECT count(*) FROM t", "BEGIN IMMEDIATE; INSERT INTO t VALUES (5)"];
    for doing in doings {
        let (_folder, path, mut app) = scene(true);
        let follower = operate(&mut app, &path);
        let everything = (follower.next_index, follower.mark_here());
        follower.log.shipped(0, everything.0, everything.1);
        app.run(doing);
        assert!(follower.may_let_go(), "the kernel tells of other processes only");
        let LetGo::Done(seen) = follower.let_go(&path, NOW).map_err(|(_, lost)| lost).unwrap() else {
            panic!("{doing}: not now")
        };
        assert!(!seen.holds(), "{doing}: it is still used");
        let (file, shared) = locked(&path);
        assert_eq!(file, [(SHARED.0, SHARED.1, false)], "{doing}");
        let (writes, reads) = (doing.contains("IMMEDIATE"), doing.contains("BEGIN"));
        assert!(shared.contains(&(IN_USE, false)), "{doing}: {shared:?}");
        assert_eq!(shared.contains(&(WRITE, true)), writes, "{doing}: {shared:?}");
        let marks = shared.iter().filter(|(byte, _)| (READ_0..IN_USE).contains(byte)).count();
        assert_eq!(marks, usize::from(reads), "{doing}: {shared:?}");
        if reads {
            app.run("COMMIT");
        }
        // Whoever comes and goes from elsewhere finds that it is used.
        let mut other = App::another(&path);
        other.run("INSERT INTO t VALUES (6)");
        drop(other);
        assert!(shm(&path).exists(), "{doing}: the WAL was taken away from the application");
        app.run("INSERT INTO t VALUES (7)");
        let baseline = Baseline::new(path.parent().unwrap(), None);
        let again = attach(&path, Limits::default(), &[], &baseline, Generation(2), NOW).unwrap().follower;
        assert_locks(&again, &path, "attached again");
    }
}
