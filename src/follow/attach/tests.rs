use super::super::tests::database;
use super::*;

#[test]
fn frames_that_are_written_between_the_first_hold_and_the_reading_are_pinned() {
    let (_folder, path, app) =
        database("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint(PASSIVE);");
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
    let (folder, path, app) =
        database("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint(PASSIVE);");
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

/// A machine was lost with its state folder, and the clock of the next one is behind. What it ships in a generation of
/// its own is newer all the same: the newest state is looked for in the generation that ends last.
#[test]
fn a_new_generation_begins_after_all_others_have_ended_whatever_the_clock_says() {
    let (folder, path, _app) = database("PRAGMA page_size = 1024; PRAGMA journal_mode = wal; CREATE TABLE t (x);");
    let cursor = SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() };
    let ended = ResumePoint {
        generation: Generation(1),
        index: Index::default(),
        offset: Offset(0),
        checksum: Checksum::default(),
        source: cursor,
        size: PageCount(1),
        page_size: PageSize::SMALLEST,
        digest: StateDigest(1),
        time: Timestamp(1000),
    };
    let baseline = Baseline::new(folder.path(), None);
    let time = |now| {
        let points = [Some(ended.clone())];
        let attached = attach(&path, Limits::default(), &points, &baseline, Generation(2), Timestamp(now)).unwrap();
        assert!(matches!(attached.resumption, Resumption::New(_)));
        attached.follower.time
    };
    assert_eq!(time(400), Timestamp(1001));
    assert_eq!(time(2000), Timestamp(2000));
}

/// A power cut has taken the last frames of the WAL, but one of two replicas has them. What follows must not be written
/// in the other's history as if they had never been.
#[test]
fn a_wal_that_has_lost_what_one_replica_has_is_not_gone_on_with_where_another_ends() {
    let (folder, path, app) = database("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x);");
    let baseline = Baseline::new(folder.path(), None);
    let attach_to = |points: &[_]| attach(&path, Limits::default(), points, &baseline, Generation(2), Timestamp(9));
    let here = attach_to(&[None]).unwrap().follower.mark_here();
    app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let end = |source: SourceCursor, digest, time| {
        let (generation, index, page_size) = (Generation(1), Index::default(), PageSize::new(4096).unwrap());
        let (offset, checksum, size) = (Offset(source.offset), source.checksum, here.size);
        Some(ResumePoint { generation, index, offset, checksum, source, size, page_size, digest, time })
    };
    let lagging = end(here.source, here.digest.unwrap(), Timestamp(1));
    let gone = SourceCursor { offset: here.source.offset + 4120, checksum: Checksum::default(), ..here.source };
    let further = end(gone, StateDigest(1), Timestamp(2));

    assert_eq!(attach_to(&[None, lagging.clone()]).unwrap().resumption, Resumption::SameWal);
    match attach_to(&[further.clone(), lagging]) {
        Err(Lost::HashesUnknown(point)) => assert_eq!(Some(*point), further),
        other => panic!("{other:?}"),
    }
}
