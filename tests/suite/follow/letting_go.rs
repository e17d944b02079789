//! The application has closed the database: nothing of ours may keep its WAL in being, because whoever puts another
//! file in its place then has two that do not belong together.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::scene::*;

const TABLE: &str = "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v);";
const FILL: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
    INSERT INTO t SELECT i, 'old' || i || hex(zeroblob(100)) FROM n;";

fn has_wal(scene: &Scene) -> bool {
    ["app.db-wal", "app.db-shm"].iter().any(|name| scene.path(name).exists())
}

fn wait_until_let_go(scene: &Scene) {
    wait_until("the replicator to let go", || !has_wal(scene));
}

/// Whether process `pid` has one of the database's files open.
fn has_open(pid: u32, scene: &Scene) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut open = files.filter_map(|entry| fs::read_link(entry.path()).ok());
    open.any(|path| path.to_string_lossy().starts_with(&*scene.db().to_string_lossy()))
}

fn answer(scene: &Scene, sql: &str) -> String {
    let out = scene.path("answer");
    scene.sql(Shell::Cli, &format!(".once {}\n{sql}", out.display()));
    fs::read_to_string(out).unwrap()
}

/// How a file takes the place of the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swap {
    Rename,
    CopyOver,
}

/// The application stops, an administrator puts another database in place, the application starts again. `follow`
/// says whether a replicator runs all the while. Returns what the application then has.
fn swap_database(swap: Swap, follow: bool) -> (Scene, String) {
    let scene = Scene::new();
    scene.sql(Shell::Python, &format!("{TABLE} INSERT INTO t VALUES (0, 'old');"));
    let replicator = follow.then(|| scene.replicate_and_wait());
    scene.sql(Shell::Python, FILL);
    let other = scene.path("other.db");
    let new = FILL.replace("'old'", "'new'").replace("400", "700");
    Shell::Python.run(&other, &format!("CREATE TABLE u (a, b); {TABLE} CREATE INDEX tv ON t (v); {new}"));
    wait_until_let_go(&scene);
    match swap {
        Swap::Rename => fs::rename(&other, scene.db()).unwrap(),
        Swap::CopyOver => drop(fs::copy(&other, scene.db()).unwrap()),
    }
    scene.sql(Shell::Python, "INSERT INTO t VALUES (9000, 'after');");
    if follow {
        let length = |bytes: &[u8]| bytes.len();
        wait_until("the new database", || length(&scene.restored()) == length(&fs::read(scene.db()).unwrap()));
    }
    scene.sql(Shell::Python, "INSERT INTO t VALUES (9001, 'later');");
    if let Some(replicator) = replicator {
        replicator.stop_well();
    }
    let sql = "PRAGMA integrity_check; SELECT count(*), count(DISTINCT substr(v, 1, 3)), max(id) FROM t;";
    let state = answer(&scene, sql);
    (scene, state)
}

/// Both real Litestreams damage the live database here: they keep the old WAL alive, and it is applied to the new file.
fn swapping_is_survived(swap: Swap) {
    let (_, control) = swap_database(swap, false);
    let (scene, followed) = swap_database(swap, true);
    assert_eq!(followed, control, "following has damaged the live database\n{}", scene.log());
    assert!(scene.source() == scene.restored(), "the restored database is not the source\n{}", scene.log());
}

#[test]
fn database_replaced_by_rename_is_not_damaged_and_restores() {
    swapping_is_survived(Swap::Rename);
}

#[test]
fn database_copied_over_in_place_is_not_damaged_and_restores() {
    swapping_is_survived(Swap::CopyOver);
}

/// Deletes the database and puts `content` into a new file of its name that has the same inode number, as some file
/// systems give it to the next file at once. False if this one does not.
fn make_again_with_the_same_inode(scene: &Scene, content: &[u8]) -> bool {
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&scene.db());
    fs::remove_file(scene.db()).unwrap();
    let mut others = (0..1000).map(|n| scene.path(&format!("other-{n}")));
    let found = others.find(|path| {
        fs::write(path, "").unwrap();
        inode(path) == before
    });
    let made = found.clone().unwrap_or_else(|| scene.path("other-0"));
    fs::write(&made, content).unwrap();
    fs::rename(made, scene.db()).unwrap();
    found.is_some()
}

/// The database with other content and of the same size. Nobody has it open.
fn changed(scene: &Scene, to: &str) -> Vec<u8> {
    let copy = scene.path("changed.db");
    fs::copy(scene.db(), &copy).unwrap();
    Shell::Python.run(&copy, &format!("UPDATE t SET v = '{to}' || substr(v, 4) WHERE id % 7 = 0;"));
    let (before, after) = (fs::read(scene.db()).unwrap(), fs::read(copy).unwrap());
    assert!(before != after && before.len() == after.len());
    after
}

/// Name, inode and size are those of before, while it is let go of and while nobody replicates.
#[test]
fn another_database_that_has_the_inode_of_the_one_before_is_noticed() {
    let scene = Scene::new();
    scene.sql(Shell::Python, &format!("{TABLE} {FILL}"));
    let replicator = scene.replicate_and_wait();
    scene.sql(Shell::Python, "INSERT INTO t VALUES (9000, 'more');");
    wait_until_let_go(&scene);
    replicator.signal("STOP");
    let content = changed(&scene, "new");
    if !make_again_with_the_same_inode(&scene, &content) {
        println!("this file system gives no inode number twice");
    }
    replicator.signal("CONT");
    wait_until("the new database", || scene.restored() == content);
    wait_until_let_go(&scene);
    replicator.stop_well();

    make_again_with_the_same_inode(&scene, &changed(&scene, "one"));
    let replicator = scene.replicate();
    wait_until("the database after it", || scene.restored() != content);
    scene.sql(Shell::Python, "INSERT INTO t VALUES (9001, 'later');");
    replicator.stop_well();
    assert!(scene.source() == scene.restored(), "the restored database is not the source\n{}", scene.log());
}

#[test]
fn nothing_is_open_while_nobody_uses_the_database_and_following_goes_on_when_somebody_does() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    for _ in 0..3 {
        let mut writer = scene.writer(&["--commits", "20", "--stay"]);
        writer.commits();
        // The application has stopped in the middle of things, so its WAL is still there.
        writer.child.kill().unwrap();
        writer.child.wait().unwrap();
        wait_until_let_go(&scene);
        assert!(!has_open(replicator.child.id(), &scene));
        let file = fs::read(scene.db()).unwrap();
        assert!(scene.restored() == file, "the file alone is the state\n{}", scene.log());
    }
    let mut writer = scene.writer(&["--commits", "20", "--stay"]);
    writer.commits();
    wait_until("the last commits", || chain_length(&scene.restored()) == 80);
    assert!(has_open(replicator.child.id(), &scene), "an application that is there is followed");
    assert!(has_wal(&scene));
    writer.leave();
    wait_until_let_go(&scene);
    replicator.stop_well();
    assert!(scene.source() == scene.restored());
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
}

#[test]
fn replicator_that_stops_after_the_application_leaves_no_wal_behind() {
    let mut scene = Scene::with_chain(4096);
    // Long before it would let go by itself.
    scene.database_keys = "monitor-interval: 30s".to_owned();
    let replicator = scene.replicate_and_wait();
    scene.writer(&["--commits", "20"]).commits();
    replicator.stop_well();
    assert!(!has_wal(&scene), "{}", scene.log());
    let file = fs::read(scene.db()).unwrap();
    assert!(scene.restored() == file && chain_length(&file) == 20);
}

#[test]
fn replicator_that_stops_before_the_application_leaves_its_wal_alone() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--commits", "20", "--stay", "--autocheckpoint", "0"]);
    writer.commits();
    replicator.stop_well();
    assert!(has_wal(&scene));
    writer.leave();
    assert!(scene.source() == scene.restored());
}

/// A script that runs every moment: whether it is followed or shows as a difference, nothing is lost.
#[test]
fn application_that_opens_and_closes_all_the_time_is_shipped_in_one_generation() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    for n in 0..40 {
        scene.writer(&["--commits", "3"]).commits();
        std::thread::sleep(std::time::Duration::from_millis(n * 3));
    }
    wait_until("the last commit", || chain_length(&scene.restored()) == 120);
    replicator.stop_well();
    assert!(scene.source() == scene.restored());
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
}

/// A database that is opened again and again without a change is looked at, but nothing is uploaded.
#[test]
fn readers_that_come_and_go_cause_no_upload() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    wait_until_let_go(&scene);
    let before = objects(scene.replica());
    let attached = || scene.log().matches("continuing the generation").count();
    for n in 1..=2 {
        let reader = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", "SELECT * FROM chain"]));
        wait_until("the replicator to follow", || attached() == n);
        reader.leave();
        wait_until_let_go(&scene);
    }
    replicator.stop_well();
    assert_eq!(objects(scene.replica()), before, "{}", scene.log());
    assert!(Path::new(&scene.path(".app.db-lightship/pages")).exists());
}
