use super::*;
use crate::segment::{SourceCursor, StateDigest};
use crate::types::{Offset, PageCount, PageSize, Timestamp};
use crate::wal::{ByteOrder, Checksum, Salts, WalHeader};

const GENERATION: Generation = Generation(7);

fn mark(offset: u64, digest: Option<u64>) -> Mark {
    Mark {
        offset: Offset(offset),
        checksum: Checksum::default(),
        source: SourceCursor { salts: Salts::default(), offset, checksum: Checksum::default() },
        size: PageCount(1),
        digest: digest.map(StateDigest),
        time: Timestamp(1),
    }
}

fn index(number: u32) -> Index {
    Index::new(number).unwrap()
}

fn opening(number: u32) -> Opening {
    let header = WalHeader::synthetic(ByteOrder::Little, PageSize::SMALLEST, 0, Salts::default());
    let source = Source::Memory { start: 32, bytes: Arc::new(vec![0; 1 << 20]) };
    Opening { index: index(number), header, source, begin: mark(0, Some(1)), rebased: false }
}

fn ticket(number: u32) -> Arc<SnapshotTicket> {
    Arc::new(SnapshotTicket {
        database: "app.db".into(),
        generation: GENERATION,
        index: index(number),
        page_size: PageSize::SMALLEST,
        size: PageCount(1),
        digest: StateDigest(1),
        time: Timestamp(1),
        source: mark(0, None).source,
        order: ByteOrder::Little,
        reason: String::new(),
        overlay: None,
        ranges: Vec::new(),
    })
}

/// One replica, which has the snapshot of index 0 and none of the 100,000 bytes of the open index 0.
fn log() -> CommitLog {
    let log = CommitLog::new(GENERATION, 1, "new");
    log.resume(0, index(0), mark(0, Some(1)));
    log.open_index(opening(0));
    log.append(&[mark(50_000, Some(2)), mark(100_000, Some(3))]);
    log
}

/// Nothing is worth waiting for behind it.
#[test]
fn the_last_segment_of_a_closed_index_says_so() {
    let log = log();
    let is_last = |bytes_max| match log.work(0, bytes_max) {
        Work::Segment(plan) => plan.is_last,
        other => panic!("{other:?}"),
    };
    assert!(!is_last(1 << 20), "more may come");
    log.close_index();
    assert!(!is_last(50_000), "more is there");
    assert!(is_last(1 << 20));
}

/// Nothing is put to it, nothing that it may need is forgotten, and nobody says that it has everything.
#[test]
fn a_replica_that_is_believed_to_be_somewhere_is_kept_for_and_not_written_to() {
    let log = CommitLog::new(GENERATION, 2, "new");
    log.resume(0, index(0), mark(0, Some(1)));
    log.believe(1);
    log.open_index(opening(0));
    log.append(&[mark(50_000, Some(2)), mark(100_000, Some(3))]);
    assert!(log.shipped(0, index(0), mark(100_000, Some(3))));

    let Work::Confirm(at, believed) = log.work(1, 1 << 20) else { panic!("it is not asked") };
    assert_eq!((at, *believed), (index(0), mark(0, Some(1))));
    assert_eq!((log.place(1), log.lag(1), log.is_all_shipped()), (None, 100_000, false));
    assert!(!log.shipped(1, index(0), mark(100_000, Some(3))), "it has put nothing");

    log.confirm(1);
    assert!(matches!(log.work(1, 1 << 20), Work::Segment(plan) if plan.raw_bytes() == 100_000));
    assert!(log.shipped(1, index(0), mark(100_000, Some(3))) && log.is_all_shipped());
}

#[test]
fn a_replica_is_believed_to_be_nowhere_if_no_other_is_anywhere_and_may_be_given_up() {
    let log = CommitLog::new(GENERATION, 2, "new");
    log.believe(1);
    assert!(matches!(log.work(1, 1 << 20), Work::AwaitSnapshot));
    log.resume(0, index(0), mark(0, Some(1)));
    log.believe(1);
    log.open_index(opening(0));
    log.append(&[mark(50_000, Some(2))]);
    assert_eq!(log.abandon_laggards(1000), 2);
    log.confirm(1);
    assert!(matches!(log.work(1, 1 << 20), Work::AwaitSnapshot), "what it needs is forgotten");
}

#[test]
fn an_upload_that_ends_after_its_replica_was_given_up_leaves_no_hole() {
    let log = log();
    let Work::Segment(plan) = log.work(0, 1000) else { panic!("no work") };
    assert_eq!(log.abandon_laggards(1000), 1);
    log.close_index();
    log.open_index(opening(1));
    log.append(&[mark(60_000, Some(4))]);

    assert!(!log.shipped(0, plan.index, *plan.to()));

    // The rest of index 0 is forgotten; index 1 without it would be another database.
    assert!(matches!(log.work(0, 1 << 20), Work::AwaitSnapshot));
}

/// Another replicator may write there at the same time: whoever waited until it is outlasted would wait for ever.
#[test]
fn what_a_replica_has_beside_the_generation_is_outlasted_once() {
    let log = CommitLog::new(GENERATION, 2, "new");
    assert_eq!(log.not_before(), Timestamp(0));
    assert!(log.outlast(0, Timestamp(7)));
    assert!(!log.outlast(0, Timestamp(9)));
    assert_eq!(log.not_before(), Timestamp(8));
    assert!(log.outlast(1, Timestamp(5)));
    assert_eq!(log.not_before(), Timestamp(8));
}

/// The end that says where the gap begins is put before the snapshot that such a replica needs, not before others.
#[test]
fn a_scheduled_snapshot_does_not_hide_the_gap_of_a_replica_that_was_given_up() {
    let log = log();
    assert_eq!(log.abandon_laggards(1000), 1);
    log.close_index();
    log.want_snapshot(0, "snapshot-interval");

    log.offer(&ticket(1));

    assert!(log.take_snapshot(0).is_none());
    assert!(matches!(log.work(0, 1 << 20), Work::Snapshot(_)));
    assert!(log.shipped(0, index(1), ticket(1).mark()));
    assert!(log.take_snapshot(0).is_some(), "then it is there already");
}

/// Killed between the snapshot and the first segment, the next replicator sealed the segment with the size that the
/// database had grown to meanwhile, and a restore refused it.
#[test]
fn a_first_segment_begins_with_the_state_of_the_snapshot_before_it() {
    let log = CommitLog::new(GENERATION, 1, "new");
    let snapshot = Mark { size: PageCount(5), ..mark(0, Some(1)) };
    log.resume(0, index(0), snapshot);
    let grown = Mark { size: PageCount(102), ..mark(0, Some(9)) };
    log.open_index(Opening { begin: grown, ..opening(0) });
    log.append(&[mark(50_000, None), mark(100_000, Some(9))]);

    let Work::Segment(plan) = log.work(0, 1 << 20) else { panic!("no work") };

    assert_eq!((plan.from.size, plan.from.digest), (snapshot.size, snapshot.digest));
}

#[test]
fn an_index_is_not_left_before_its_last_commit_is_shipped() {
    let log = log();
    log.append(&[mark(150_000, None)]);
    log.close_index();
    log.open_index(opening(1));
    log.append(&[mark(60_000, Some(4))]);
    let Work::Segment(plan) = log.work(0, 1 << 20) else { panic!("no work") };
    assert_eq!(plan.to().offset, Offset(100_000));
    log.shipped(0, plan.index, *plan.to());

    assert!(matches!(log.work(0, 1 << 20), Work::Idle));
}

/// A difference lies in no WAL, so it was taken for shipped: a replicator that was killed between the snapshot behind
/// it and the end of its index left a history in which nothing said where that index ends.
#[test]
fn a_scheduled_snapshot_waits_for_the_segments_before_it() {
    let wal = Source::Memory { start: 32, bytes: Arc::new(vec![0; 1 << 20]) };
    let difference = Source::Spool(Arc::new(Spool::Memory(Vec::new())));
    for source in [wal, difference] {
        let log = CommitLog::new(GENERATION, 1, "new");
        log.resume(0, index(0), mark(0, Some(1)));
        log.open_index(Opening { source, ..opening(0) });
        log.append(&[mark(50_000, Some(2)), mark(100_000, Some(3))]);
        log.close_index();
        log.want_snapshot(0, "snapshot-interval");
        log.offer(&ticket(1));
        assert!(log.take_snapshot(0).is_none());
        while let Work::Segment(plan) = log.work(0, 1000) {
            log.shipped(0, plan.index, *plan.to());
        }
        assert!(log.take_snapshot(0).is_some());
    }
}

#[test]
fn a_snapshot_that_is_there_is_not_taken_again() {
    let log = log();
    log.close_index();
    while let Work::Segment(plan) = log.work(0, 100_000) {
        log.shipped(0, plan.index, *plan.to());
    }
    let offered = |ticket: SnapshotTicket| {
        log.want_snapshot(0, "snapshot-interval");
        log.offer(&Arc::new(ticket));
        assert_eq!(log.snapshot_wanted(), None);
        log.take_snapshot(0).is_some()
    };
    let at = |number| Arc::into_inner(ticket(number)).unwrap();
    assert!(offered(at(1)));
    // It could not be written, so it is tried again.
    assert!(offered(at(1)));
    log.note_snapshot(0, &ticket(1));
    assert!(!offered(at(1)));
    assert!(offered(at(2)));
    assert!(offered(SnapshotTicket { digest: StateDigest(99), ..at(1) }), "another state");
}

#[test]
fn a_replica_that_waits_for_a_snapshot_does_not_have_everything() {
    let log = CommitLog::new(GENERATION, 1, "new");
    assert_eq!(log.unshipped_bytes(), 0);
    assert!(!log.is_all_shipped());
    log.offer(&ticket(0));
    assert!(!log.is_all_shipped());
    assert!(log.shipped(0, index(0), ticket(0).mark()));
    assert!(log.is_all_shipped());
}

#[test]
fn a_replica_lags_by_what_it_has_yet_to_ship() {
    let log = log();
    assert_eq!(log.lag(0), 100_000);
    let Work::Segment(plan) = log.work(0, 1000) else { panic!("no work") };
    log.shipped(0, plan.index, *plan.to());
    assert_eq!(log.lag(0), 50_000);
    log.need_snapshot(0, "test".to_owned());
    assert_eq!(log.lag(0), 0);
}
