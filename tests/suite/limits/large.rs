//! Large databases, large WALs and large transactions.

use std::fs;
use std::time::{Duration, Instant};

use super::*;

const LOCK_BYTE: u64 = 1 << 30;

/// Rows of a megabyte each, between what comes before and after.
fn fill(scene: &Scene, before: &str, mib: u64, after: &str) {
    let rows = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {mib})");
    let sql = format!("{before} INSERT INTO ballast {rows} SELECT zeroblob(1048576 - 200) FROM n; {after}");
    scene.sql(Shell::Python, &sql);
}

/// Page sizes with which a database is made to grow over the page with the lock byte. The largest takes least time.
fn page_sizes() -> Vec<u32> {
    let text = std::env::var("LIGHTSHIP_LOCK_PAGE_SIZES").unwrap_or_else(|_| "65536".to_owned());
    text.split(',').map(|size| size.parse().unwrap()).collect()
}

/// SQLite never uses that page, and the file has a hole there.
#[test]
fn a_database_that_grows_over_the_page_with_the_lock_byte_is_restored() {
    for page_size in page_sizes() {
        let mut scene = Scene::new();
        scene.database_keys = "min-checkpoint-page-count: 60\ncheckpoint-interval: 200ms".to_owned();
        // Without a journal nothing is written twice. It ends four megabytes before.
        let quickly = "PRAGMA journal_mode = off; PRAGMA synchronous = off; CREATE TABLE ballast (v BLOB);";
        let table = "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);";
        // Each page of a blob begins with the number of the next.
        let mib = ((LOCK_BYTE >> 20) - 4) * u64::from(page_size - 4) / u64::from(page_size);
        fill(&scene, &format!("PRAGMA page_size = {page_size}; {quickly}"), mib, table);
        let replicator = scene.replicate_and_wait();
        assert!(fs::metadata(scene.db()).unwrap().len() < LOCK_BYTE);
        // Each is a commit.
        let insert =
            |n| format!("INSERT INTO t VALUES ({n}, randomblob(400000)); DELETE FROM t WHERE id = {n} - 16;\n");
        scene.sql(Shell::Cli, &(0..20).map(insert).collect::<String>());
        replicator.stop_well();
        assert!(fs::metadata(scene.db()).unwrap().len() > LOCK_BYTE + 2 * u64::from(page_size), "{page_size}");
        assert_restores(&scene, lightship());
    }
}

/// Memory that a process may have, its page cache included.
struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    fn new(limit_mib: u64) -> Self {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (root, file) =
            if v1.is_dir() { (v1, "memory.limit_in_bytes") } else { (Path::new("/sys/fs/cgroup"), "memory.max") };
        let path = root.join(format!("lightship-test-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let group = Self { path };
        fs::write(group.path.join(file), (limit_mib << 20).to_string()).unwrap();
        group
    }

    /// Makes `command` run in it.
    fn limit(&self, command: &Command) -> Command {
        let mut limited = Command::new("sh");
        limited.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.path.join("cgroup.procs"));
        limited.arg(command.get_program()).args(command.get_args());
        limited
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// `LIGHTSHIP_HUGE_MIB` is the size of the transaction: with 4500 there are more than 4 GiB in the WAL, in one segment,
/// and behind the last offset that has a name. It takes twice as much disk.
#[test]
fn a_transaction_larger_than_memory_is_followed_and_restored() {
    if !machine_has("cgroup") {
        return;
    }
    let mut scene = Scene::new();
    scene.database_keys = "max-wal-mib: 100000\ncheckpoint-interval: 200ms".to_owned();
    let begin = "PRAGMA page_size = 4096; PRAGMA journal_mode = wal; CREATE TABLE ballast (v BLOB);";
    scene.sql(Shell::Python, begin);
    let group = Cgroup::new(128);
    let replicator = Replicator::start(group.limit(&scene.replicate_command()), scene.path("log"));
    replicator.wait_for("snapshot written");
    let size = setting("LIGHTSHIP_HUGE_MIB", 200);
    assert!(objects(scene.replica()).iter().all(|object| object.contains("/snapshots/")));
    fill(&scene, "PRAGMA wal_autocheckpoint = 0; BEGIN;", size, "COMMIT;");
    assert!(mib(&scene.path("app.db-wal")) >= size || mib(&scene.db()) >= size);
    // A stop waits half a minute for what is not stored yet.
    let end = Instant::now() + PATIENCE + Duration::from_secs(size);
    while !objects(scene.replica()).iter().any(|object| object.contains("/wal/")) {
        assert!(Instant::now() < end, "the transaction is not stored\n{}", scene.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    scene.sql(Shell::Python, "INSERT INTO ballast VALUES ('after');");
    replicator.stop_well();
    assert_restores(&scene, group.limit(&lightship()));
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
    assert!(!scene.log().contains("giving up on replicas"), "{}", scene.log());
}
