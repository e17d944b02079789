use super::*;

#[test]
fn frames_that_are_written_between_the_first_hold_and_the_reading_are_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let app = rusqlite::Connection::open(&path).unwrap();
    app.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint(PASSIVE);").unwrap();
    let mut lines = [Connection::open(&path).unwrap(), Connection::open(&path).unwrap()];
    let first = first_hold(&mut lines[0]).unwrap();
    assert_eq!(first, Hold::Guarded);

    app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let wal = WalFile::open(&path).unwrap();
    let view = read_state(&lines[0], &wal, page_size(&lines[0]).unwrap()).unwrap();
    let (held, hold) = keep_hold(&mut lines, first, &view.index).unwrap();

    // Believed to be a guard, the file alone would be offered as a snapshot of a state that is partly in the WAL.
    assert_eq!((held, hold), (1, Hold::Pinned { mark: view.index.frames }));
}

/// Following begins where everything is copied back, so the WAL may restart while its frames are read into memory.
#[test]
fn frames_that_are_overwritten_while_they_are_kept_are_not_taken_for_those_that_were_captured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let app = rusqlite::Connection::open(&path).unwrap();
    app.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint(PASSIVE);").unwrap();
    let (now, baseline) = (Timestamp(1), Baseline::new(folder.path(), None));
    let captured = || {
        let attached = attach(&path, Limits::default(), &[None], &baseline, Generation(1), now).unwrap();
        let mut follower = attached.follower;
        assert_eq!(follower.hold, Hold::Guarded);
        let header = follower.wal.header().unwrap();
        follower.tail = Some(Tail { chain: Chain::begin(&header), offset: WAL_HEADER_BYTES as u64 });
        follower.log.resume(0, Index::default(), follower.mark_here());
        let index = follower.lines[follower.held].wal_index().unwrap();
        assert!(follower.capture(&index, now).unwrap() > 0 && follower.log.unshipped_bytes() > 0);
        follower
    };
    assert!(captured().settle_hold().is_ok());

    let mut follower = captured();
    app.execute_batch("INSERT INTO t VALUES (1)").unwrap();

    assert!(matches!(follower.settle_hold(), Err(Lost::Restarted { .. })));
}
