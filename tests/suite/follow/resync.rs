//! What a replicator does about everything that happened while it was away: it ships the pages that differ, in the same
//! generation, and reads and writes no more than that.

use std::fs;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use super::scene::*;

const PAGE: usize = 4096;

/// A database of `pages` rows, each of about a page, in WAL mode, with nothing in its WAL.
pub fn filled(pages: u32) -> Scene {
    let scene = Scene::new();
    let sql = format!(
        "PRAGMA page_size = {PAGE}; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB); PRAGMA journal_mode = wal;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {pages})
         INSERT INTO t SELECT i, CAST(printf('%.1300c', 'x') || hex(randomblob(1200)) AS BLOB) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);"
    );
    scene.sql(Shell::Python, &sql);
    scene
}

/// What is stored in the first replica, by path.
fn stored(scene: &Scene) -> Vec<(String, u64)> {
    let size = |object: &String| fs::metadata(scene.replica().join("generations").join(object)).unwrap().len();
    objects(scene.replica()).into_iter().map(|object| (object.clone(), size(&object))).collect()
}

/// Bytes of the objects that are not in `before`.
fn uploaded_since(scene: &Scene, before: &[(String, u64)]) -> u64 {
    stored(scene).iter().filter(|object| !before.contains(object)).map(|(_, bytes)| bytes).sum()
}

fn pages_file(scene: &Scene) -> PathBuf {
    scene.path(".app.db-lightship/pages")
}

/// Starts a replicator, waits until it follows, and stops it: whatever there is to ship is shipped then.
pub fn replicate_once(scene: &Scene) {
    let said = || scene.log().matches(" generation db=").count() + scene.log().matches("continuing the").count();
    let before = said();
    let replicator = scene.replicate();
    wait_until("the replicator to follow", || said() > before);
    replicator.stop_well();
}

/// Checks that the restored database is the source, with our own program and with the real Litestream, and that there
/// is one generation.
pub fn is_one_history(scene: &Scene) {
    let source = scene.source();
    assert!(source == scene.restored(), "the restored database is not the source\n{}", scene.log());
    let theirs = scene.restored_by(&litestream("LITESTREAM", "0.3.13"), scene.replica()).unwrap();
    assert!(source == theirs, "Litestream restores something else\n{}", scene.log());
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
}

/// Replicates, does `away` while no replicator runs, replicates again, and writes a little more.
fn come_back_after(scene: &Scene, away: impl FnOnce(&Scene)) {
    replicate_once(scene);
    away(scene);
    let replicator = scene.replicate();
    replicator.wait_for("continuing the generation");
    scene.sql(Shell::Python, "INSERT INTO t VALUES (1000001, randomblob(3000));");
    replicator.stop_well();
    is_one_history(scene);
}

pub fn says_difference(scene: &Scene) {
    assert!(scene.log().contains("how=Difference"), "{}", scene.log());
}

/// Everything in the first replica, with what changes if it is written again.
fn untouched(scene: &Scene) -> Vec<(String, u64, SystemTime)> {
    let mut files = Vec::new();
    let mut folders = vec![scene.replica().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                files.push((entry.path().display().to_string(), meta.len(), meta.modified().unwrap()));
            }
        }
    }
    files.sort_unstable();
    files
}

/// `LIGHTSHIP_RESTARTS` is how often, with the database closed and with the database open.
#[test]
fn restarts_without_writes_upload_nothing() {
    let scene = filled(300);
    replicate_once(&scene);
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(10) WHERE id = 7;");
    replicate_once(&scene);
    let restarts = setting("LIGHTSHIP_RESTARTS", 5);
    let before = untouched(&scene);
    for restart in 0..restarts {
        replicate_once(&scene);
        assert_eq!(untouched(&scene), before, "closed, restart {restart}\n{}", scene.log());
    }
    let app = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", "SELECT count(*) FROM t"]));
    for restart in 0..restarts {
        replicate_once(&scene);
        assert_eq!(untouched(&scene), before, "open, restart {restart}\n{}", scene.log());
    }
    drop(app);
    let mut app = {
        let sql = ["--stay", "PRAGMA wal_autocheckpoint = 0; UPDATE t SET v = randomblob(10) WHERE id = 8"];
        Writer::start(python("run_sql.py").arg(scene.db()).args(sql))
    };
    replicate_once(&scene);
    let before = untouched(&scene);
    for restart in 0..restarts {
        replicate_once(&scene);
        assert_eq!(untouched(&scene), before, "open with a WAL, restart {restart}\n{}", scene.log());
    }
    app.child.kill().unwrap();
    app.child.wait().unwrap();
    println!("3 times {restarts} restarts, {} files untouched", before.len());
    is_one_history(&scene);
}

/// SQLite can be told to make the file larger than the database (`SQLITE_FCNTL_CHUNK_SIZE`).
#[test]
fn room_behind_the_end_of_the_database_is_no_change() {
    let scene = filled(300);
    replicate_once(&scene);
    let (before, source) = (untouched(&scene), scene.source());
    let file = fs::File::options().write(true).open(scene.db()).unwrap();
    file.set_len(source.len() as u64 + 70_000).unwrap();
    drop(file);
    replicate_once(&scene);
    assert_eq!(untouched(&scene), before, "{}", scene.log());
    assert!(scene.restored() == source);
    scene.sql(Shell::Python, "INSERT INTO t VALUES (1000002, randomblob(30000));");
    replicate_once(&scene);
    let (source, restored) = (scene.source(), scene.restored());
    let (database, room) = source.split_at(restored.len());
    assert!(database == restored && room.iter().all(|byte| *byte == 0) && !room.is_empty());
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
    let theirs = scene.restored_by(&litestream("LITESTREAM", "0.3.13"), scene.replica()).unwrap();
    assert!(theirs == restored);
}

/// One page in a hundred changes while nobody follows. `LIGHTSHIP_DOWNTIME_MB` is the size of the database.
#[test]
fn one_percent_that_changed_meanwhile_is_uploaded_and_nothing_else() {
    let megabytes = u32::try_from(setting("LIGHTSHIP_DOWNTIME_MB", 20)).unwrap();
    let scene = filled(megabytes * 256);
    replicate_once(&scene);
    let (before, objects_before) = (scene.source(), stored(&scene));
    scene.sql(
        Shell::Python,
        "UPDATE t SET v = CAST(printf('%.1300c', 'y') || hex(randomblob(1200)) AS BLOB) WHERE id % 100 = 0;
         PRAGMA wal_checkpoint(TRUNCATE);",
    );
    let after = scene.source();
    let pages = after.chunks(PAGE).zip(before.chunks(PAGE).chain(std::iter::repeat(&[][..])));
    let changed: Vec<u8> = pages.filter(|(a, b)| a != b).flat_map(|(a, _)| a).copied().collect();
    let compressed = lz4_flex::block::compress(&changed).len() as u64;
    let since = Instant::now();
    replicate_once(&scene);
    let (elapsed, uploaded) = (since.elapsed(), uploaded_since(&scene, &objects_before));
    let size = after.len();
    println!("{size} bytes, {} changed, {compressed} compressed: {uploaded} uploaded in {elapsed:?}", changed.len());
    assert!(changed.len() > size / 110 && size >= (megabytes as usize) << 20);
    assert!(uploaded * 10 <= compressed * 13, "{uploaded} bytes were uploaded for {compressed}");
    says_difference(&scene);
    is_one_history(&scene);
}

/// Every deploy begins with an empty disk: restore, replicate, write, lose the disk. `LIGHTSHIP_DEPLOYS` is how often.
#[test]
fn one_generation_goes_on_over_many_disks() {
    let scene = filled(200);
    replicate_once(&scene);
    let deploys = setting("LIGHTSHIP_DEPLOYS", 5);
    for deploy in 0..deploys {
        let source = scene.source();
        for file in fs::read_dir(scene.path("")).unwrap().flatten().filter(|f| f.file_name() != "replica") {
            if file.file_name() == ".app.db-lightship" {
                fs::remove_dir_all(file.path()).unwrap();
            } else if file.file_name().to_str().unwrap().starts_with("app.db") {
                fs::remove_file(file.path()).unwrap();
            }
        }
        scene.restore_in_place(&[]);
        assert!(fs::read(scene.db()).unwrap() == source, "deploy {deploy}");
        let before = stored(&scene);
        if deploy % 2 == 0 {
            // The application is quicker than the replicator, and checkpoints.
            scene.sql(Shell::Python, &format!("INSERT INTO t VALUES (5000 + {deploy}, randomblob(2000));"));
        }
        let replicator = scene.replicate_and_wait();
        scene.sql(Shell::Python, &format!("UPDATE t SET v = randomblob(500) WHERE id = {deploy};"));
        replicator.stop_well();
        assert!(uploaded_since(&scene, &before) < 60_000, "deploy {deploy}: {}", scene.log());
    }
    assert!(objects(scene.replica()).iter().filter(|o| o.contains("/snapshots/")).count() == 1, "{}", scene.log());
    assert!(!scene.log().contains("rebuilding"), "{}", scene.log());
    is_one_history(&scene);
}

#[test]
fn restore_to_an_older_point_and_going_on_keeps_the_whole_history() {
    let scene = filled(300);
    replicate_once(&scene);
    let mut states = vec![scene.source()];
    for n in 0..4 {
        scene.sql(Shell::Python, &format!("UPDATE t SET v = randomblob(900) WHERE id = {n} * 3 + 1;"));
        replicate_once(&scene);
        states.push(scene.source());
    }
    let last = objects(scene.replica()).into_iter().rfind(|o| o.contains("/wal/")).unwrap();
    let index = u32::from_str_radix(&last[21..29], 16).unwrap();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        let _ = fs::remove_file(scene.path(name));
    }
    // Three commits are undone.
    scene.restore_in_place(&["-index", &format!("{:08x}", index - 3)]);
    let older = fs::read(scene.db()).unwrap();
    let back_to = states.iter().position(|state| *state == older).expect("an older state was restored");
    assert!(back_to < states.len() - 1);
    replicate_once(&scene);
    says_difference(&scene);
    scene.sql(Shell::Python, "INSERT INTO t VALUES (9999, 'after');");
    replicate_once(&scene);
    is_one_history(&scene);
    let undone = scene.restored_from(scene.replica(), &["-index", &format!("{index:08x}")]).unwrap();
    assert!(undone == *states.last().unwrap(), "what was undone can still be restored");
}

#[test]
fn truncated_wal_is_made_up_for_by_a_difference() {
    let scene = filled(300);
    come_back_after(&scene, |scene| {
        scene.sql(Shell::Python, "UPDATE t SET v = randomblob(10) WHERE id < 9; PRAGMA wal_checkpoint(TRUNCATE);");
        scene.sql(Shell::Cli, "DELETE FROM t WHERE id > 290;");
    });
    says_difference(&scene);
}

#[test]
fn vacuum_is_made_up_for_by_a_difference() {
    let scene = filled(300);
    scene.sql(Shell::Python, "DELETE FROM t WHERE id > 280;");
    come_back_after(&scene, |scene| {
        let before = fs::metadata(scene.db()).unwrap().len();
        scene.sql(Shell::Python, "VACUUM;");
        assert!(scene.source().len() as u64 * 10 < before * 99 / 10 * 10, "it has become smaller");
    });
    says_difference(&scene);
}

#[test]
fn journal_mode_flipped_and_back_is_made_up_for_by_a_difference() {
    let scene = filled(300);
    come_back_after(&scene, |scene| {
        scene.sql(
            Shell::Python,
            "PRAGMA journal_mode = delete; UPDATE t SET v = randomblob(10) WHERE id < 9; PRAGMA journal_mode = wal;",
        );
    });
    says_difference(&scene);
}

#[test]
fn rollback_mode_is_left_again_and_made_up_for_by_a_difference() {
    let scene = filled(300);
    come_back_after(&scene, |scene| {
        scene.sql(Shell::Python, "PRAGMA journal_mode = delete; UPDATE t SET v = randomblob(10) WHERE id < 9;");
    });
    says_difference(&scene);
}

#[test]
fn older_copy_of_the_database_put_back_is_made_up_for_by_a_difference() {
    let scene = filled(300);
    let copy = scene.path("copy.db");
    fs::copy(scene.db(), &copy).unwrap();
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(10) WHERE id < 9;");
    come_back_after(&scene, |scene| {
        scene.source();
        for name in ["app.db-wal", "app.db-shm"] {
            let _ = fs::remove_file(scene.path(name));
        }
        fs::rename(&copy, scene.db()).unwrap();
    });
    says_difference(&scene);
}

#[test]
fn page_hashes_from_an_older_copy_are_brought_forward() {
    let scene = filled(2000);
    replicate_once(&scene);
    let old = fs::read(pages_file(&scene)).unwrap();
    for n in 0..5 {
        scene.sql(Shell::Python, &format!("UPDATE t SET v = randomblob(99) WHERE id % 50 = {n};"));
        replicate_once(&scene);
    }
    scene.sql(Shell::Python, "UPDATE t SET v = 'x' WHERE id = 9; PRAGMA wal_checkpoint(TRUNCATE);");
    fs::write(pages_file(&scene), old).unwrap();
    replicate_once(&scene);
    says_difference(&scene);
    assert!(scene.log().contains("brought forward"), "{}", scene.log());
    assert!(!scene.log().contains("rebuilding"), "{}", scene.log());
    is_one_history(&scene);
}

#[test]
fn page_hashes_that_are_missing_or_damaged_or_of_another_state_are_rebuilt() {
    let scene = filled(2000);
    replicate_once(&scene);
    let ruins: [fn(&Scene); 4] = [
        |scene| fs::remove_file(pages_file(scene)).unwrap(),
        |scene| fs::write(pages_file(scene), "nonsense").unwrap(),
        |scene| fs::remove_dir_all(scene.path(".app.db-lightship")).unwrap(),
        |scene| {
            // Of another database, but well formed.
            let other = filled(100);
            replicate_once(&other);
            fs::copy(pages_file(&other), pages_file(scene)).unwrap();
        },
    ];
    for (n, ruin) in (1_usize..).zip(ruins) {
        scene.sql(Shell::Python, &format!("UPDATE t SET v = 'x' WHERE id = {n}; PRAGMA wal_checkpoint(TRUNCATE);"));
        ruin(&scene);
        replicate_once(&scene);
        let log = scene.log();
        assert_eq!(log.matches("rebuilding them from the replica").count(), n, "{log}");
        assert_eq!(log.matches("how=Difference").count(), n, "{log}");
    }
    is_one_history(&scene);
}

/// Another database is another history, and so is one of which hardly anything is left.
#[test]
fn too_large_a_difference_begins_a_generation_and_says_why() {
    let scene = filled(2000);
    replicate_once(&scene);
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(900) WHERE id % 5 < 3;");
    replicate_once(&scene);
    assert!(scene.log().contains("a snapshot costs about as much"), "{}", scene.log());
    assert_eq!(generations(scene.replica()).len(), 2);
    assert!(scene.source() == scene.restored());
}

#[test]
fn another_page_size_begins_a_generation() {
    let scene = filled(300);
    replicate_once(&scene);
    scene.sql(
        Shell::Python,
        "PRAGMA journal_mode = delete; PRAGMA page_size = 1024; VACUUM; PRAGMA journal_mode = wal;",
    );
    replicate_once(&scene);
    assert!(scene.log().contains("the page size changed from 4096 to 1024"), "{}", scene.log());
    assert_eq!(generations(scene.replica()).len(), 2);
    assert!(scene.source() == scene.restored());
}

/// The replica cannot be written while the WAL is handed over, so the last commits are in memory only, and die with it.
#[test]
fn killed_between_handover_and_upload_the_generation_goes_on() {
    let mut scene = filled(300);
    scene.database_keys = "min-checkpoint-page-count: 20".to_owned();
    let replicator = scene.replicate_and_wait();
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(99) WHERE id = 1;");
    wait_until("the first commit", || objects(scene.replica()).iter().any(|o| o.contains("/wal/")));
    let aside = scene.path("aside");
    fs::rename(scene.replica(), &aside).unwrap();
    fs::write(scene.replica(), "in the way").unwrap();
    let before = scene.handovers();
    for n in 0..30 {
        scene.sql(Shell::Python, &format!("UPDATE t SET v = randomblob(3000) WHERE id = 100 + {n};"));
    }
    wait_until("a handover", || scene.handovers() > before);
    replicator.kill();
    scene.sql(Shell::Python, "UPDATE t SET v = 'x' WHERE id = 2; PRAGMA wal_checkpoint(TRUNCATE);");
    fs::remove_file(scene.replica()).unwrap();
    fs::rename(&aside, scene.replica()).unwrap();
    replicate_once(&scene);
    says_difference(&scene);
    is_one_history(&scene);
}

/// Nobody should do this, and the source may be damaged by it; but what it has become is what the replica gets.
#[test]
fn file_overwritten_in_place_is_noticed_and_shipped() {
    let scene = filled(300);
    let copy = scene.path("copy.db");
    let mut app = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", "SELECT 1"]));
    let replicator = scene.replicate_and_wait();
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(99) WHERE id < 9; PRAGMA wal_checkpoint(TRUNCATE);");
    app.child.kill().unwrap();
    app.child.wait().unwrap();
    replicator.stop_well();
    fs::copy(scene.db(), &copy).unwrap();
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(99) WHERE id > 290; PRAGMA wal_checkpoint(TRUNCATE);");
    replicate_once(&scene);
    for name in ["app.db-wal", "app.db-shm"] {
        let _ = fs::remove_file(scene.path(name));
    }
    fs::copy(&copy, scene.db()).unwrap();
    replicate_once(&scene);
    says_difference(&scene);
    is_one_history(&scene);
}
