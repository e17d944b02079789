//! Everything that a database can be made to do, at every page size, judged by our own restore and by two Litestreams.

use super::scene::*;

/// A way of using a database: what it looks like before it is followed, and what is done to it then, each step by a
/// process of its own.
struct Shape {
    name: &'static str,
    setup: &'static str,
    steps: &'static [&'static str],
}

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)";

/// `ROWS` stands for a common table expression `n` of the numbers 1 to 300.
const SHAPES: &[Shape] = &[
    Shape {
        name: "rows, many indexes and a table without rowid",
        setup:
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d); CREATE INDEX ta ON t (a); CREATE INDEX tb ON t (b);
                CREATE UNIQUE INDEX tc ON t (c, id); CREATE INDEX td ON t (d, a) WHERE d > 5;
                CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;",
        steps: &[
            "ROWS INSERT INTO t SELECT i, i % 7, hex(i), i * 3, i % 11 FROM n;
             ROWS INSERT INTO w SELECT hex(i), i FROM n;",
            "UPDATE t SET a = a + 1, b = b || 'x' WHERE id % 3 = 0; DELETE FROM w WHERE v % 5 = 0;",
            "DROP INDEX ta; CREATE INDEX te ON t (b, c, d); REPLACE INTO w SELECT hex(id), b FROM t;",
            "REINDEX; ANALYZE;",
        ],
    },
    Shape {
        name: "VACUUM, shrinking and growing",
        setup: "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB); ROWS INSERT INTO t SELECT i, randomblob(900) FROM n;",
        steps: &[
            "DELETE FROM t WHERE id % 10 <> 0;",
            "VACUUM;",
            "ROWS INSERT INTO t SELECT i + 1000, randomblob(1500) FROM n; DELETE FROM t WHERE id > 1010; VACUUM;
             ROWS INSERT INTO t SELECT i + 2000, zeroblob(700) FROM n;",
            "DROP TABLE t; VACUUM; CREATE TABLE u (x); INSERT INTO u VALUES (randomblob(30000));",
        ],
    },
    Shape {
        name: "auto_vacuum FULL",
        setup: "PRAGMA auto_vacuum = FULL; VACUUM; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);",
        steps: &[
            "ROWS INSERT INTO t SELECT i, randomblob(1200) FROM n;",
            "DELETE FROM t WHERE id < 250;",
            "ROWS INSERT INTO t SELECT i + 500, randomblob(300) FROM n; DELETE FROM t WHERE id % 2;",
        ],
    },
    Shape {
        name: "auto_vacuum INCREMENTAL",
        setup: "PRAGMA auto_vacuum = INCREMENTAL; VACUUM; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
                ROWS INSERT INTO t SELECT i, randomblob(2000) FROM n;",
        steps: &[
            "DELETE FROM t WHERE id > 20; PRAGMA incremental_vacuum(7);",
            "PRAGMA incremental_vacuum; INSERT INTO t VALUES (9000, randomblob(100000));",
        ],
    },
    Shape {
        name: "big blobs, and transactions larger than the page cache that are rolled back in whole or in part",
        setup: "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB); INSERT INTO t VALUES (1, randomblob(2000000));",
        steps: &[
            "PRAGMA cache_size = 5; BEGIN; ROWS INSERT INTO t SELECT i + 10, randomblob(4000) FROM n; ROLLBACK;
             INSERT INTO t VALUES (2, randomblob(5000));",
            "PRAGMA cache_size = 50; BEGIN; INSERT INTO t VALUES (3, randomblob(30000)); SAVEPOINT s;
             UPDATE t SET v = randomblob(9000) WHERE id = 2; ROLLBACK TO s; DELETE FROM t WHERE id = 1; COMMIT;",
            "PRAGMA cache_size = 5; BEGIN; ROWS INSERT INTO t SELECT i + 10, randomblob(3000) FROM n; COMMIT;",
            "UPDATE t SET v = zeroblob(length(v)) WHERE id = 3;",
        ],
    },
];

/// Follows `shape` and compares what three programs restore with the source.
fn follow(shape: &Shape, page_size: u32, shell: Shell) {
    let at = format!("{} at page size {page_size} by {shell:?}", shape.name);
    let mut scene = Scene::new();
    scene.database_keys = "min-checkpoint-page-count: 30".to_owned();
    let rows = |sql: &str| sql.replace("ROWS", ROWS);
    scene.sql(shell, &format!("PRAGMA page_size = {page_size}; {} PRAGMA journal_mode = wal;", rows(shape.setup)));
    let replicator = scene.replicate_and_wait();
    for step in shape.steps {
        scene.sql(shell, &rows(step));
    }
    replicator.stop_well();
    let source = scene.source();
    assert!(!scene.log().contains("continuity lost"), "{at}: {}", scene.log());
    assert_eq!(u32::from(u16::from_be_bytes([source[16], source[17]])), page_size % 65536 + page_size / 65536, "{at}");
    assert!(source == scene.restored(), "{at}: our restore is not the source");
    for (variable, version) in [("LITESTREAM", "0.3.13"), ("LITESTREAM_05", "0.5.17")] {
        let restored = scene.restored_by(&litestream(variable, version), scene.replica());
        assert!(restored.unwrap() == source, "{at}: the restore by Litestream {version} is not the source");
    }
}

fn follow_all(page_size: u32) {
    for (n, shape) in SHAPES.iter().enumerate() {
        follow(shape, page_size, if n % 2 == 0 { Shell::Python } else { Shell::Cli });
    }
}

#[test]
fn all_shapes_with_pages_of_512_bytes_are_restored_by_all() {
    follow_all(512);
}

#[test]
fn all_shapes_with_pages_of_1024_bytes_are_restored_by_all() {
    follow_all(1024);
}

#[test]
fn all_shapes_with_pages_of_4096_bytes_are_restored_by_all() {
    follow_all(4096);
    for shape in SHAPES {
        follow(shape, 4096, Shell::Cli);
    }
}

#[test]
fn all_shapes_with_pages_of_8192_bytes_are_restored_by_all() {
    follow_all(8192);
}

#[test]
fn all_shapes_with_pages_of_65536_bytes_are_restored_by_all() {
    follow_all(65536);
}
