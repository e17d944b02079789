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
