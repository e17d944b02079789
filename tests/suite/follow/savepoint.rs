//! SQLite 3.40.1 (Debian 12's; the bundled one is cured) commits frames without salts and checksum when a savepoint is
//! rolled back in a transaction that has outgrown the page cache: it takes note of the first frame whose checksum must
//! be made again, and forgets to forget it when the frame itself is rolled back. Such a WAL is sound as long as
//! somebody keeps the wal-index open; after that it ends, for every reader, before the first such frame.

use super::scene::*;

const SETUP: &str = "PRAGMA page_size = 1024; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
    INSERT INTO t VALUES (1, randomblob(2000000)); CREATE TABLE untouched AS SELECT randomblob(5000000);
    PRAGMA journal_mode = wal;";
const SPILLED: &str = "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 5;
    BEGIN; INSERT INTO t VALUES (3, randomblob(300000)); SAVEPOINT s;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO t SELECT i + 10, randomblob(4000) FROM n; ROLLBACK TO s;
    UPDATE t SET v = randomblob(100000) WHERE id = 1; COMMIT;";

/// The application's last connection closes before the replicator's. Without a replicator it would have copied the WAL
/// into the database; the replicator, whose presence keeps it from doing so, must not lose what it has committed.
#[test]
fn commit_behind_a_rolled_back_savepoint_survives_in_source_and_replica() {
    let scene = Scene::new();
    scene.sql(Shell::Python, SETUP);
    let replicator = scene.replicate_and_wait();
    scene.sql(Shell::Python, "INSERT INTO t VALUES (2, randomblob(5000));");
    scene.sql(Shell::Python, SPILLED);
    replicator.wait_for("how=Difference");
    scene.sql(Shell::Python, "INSERT INTO t VALUES (9, 'after');");
    replicator.stop_well();
    let count = scene.path("count");
    let sql = format!(
        ".once {}\nSELECT group_concat(id || ':' || length(v)) FROM t;\nPRAGMA integrity_check;",
        count.display()
    );
    scene.sql(Shell::Cli, &sql);
    assert_eq!(std::fs::read_to_string(count).unwrap().trim(), "1:100000,2:5000,3:300000,9:5", "{}", scene.log());
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
    assert!(scene.source() == scene.restored(), "the restored database is not the source\n{}", scene.log());
}
