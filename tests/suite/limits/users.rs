//! Application and replicator are different users, and a process that forks.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use super::*;

const APPLICATION: u32 = 61_001;
const REPLICATOR: u32 = 61_002;
const GROUP: u32 = 61_100;

/// A database of the application's in a folder of its own, and what both need to run.
struct Shared {
    scene: Scene,
}

impl Shared {
    /// `folder` and `file` are their permissions.
    fn new(folder: u32, file: u32) -> Self {
        let scene = Scene::with_chain(4096);
        let (root, data) = (scene.path(""), scene.path("data"));
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(&data).unwrap();
        fs::rename(scene.db(), data.join("app.db")).unwrap();
        chown(&data, Some(APPLICATION), Some(GROUP)).unwrap();
        chown(data.join("app.db"), Some(APPLICATION), Some(GROUP)).unwrap();
        fs::set_permissions(&data, Permissions::from_mode(folder)).unwrap();
        fs::set_permissions(data.join("app.db"), Permissions::from_mode(file)).unwrap();
        for name in ["replica", "state"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), Permissions::from_mode(0o777)).unwrap();
        }
        // Where the programs are built not everybody may look.
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/chain.py");
        for (from, to) in [(Path::new(env!("CARGO_BIN_EXE_lightship")), "lightship"), (support.as_path(), "chain.py")] {
            fs::copy(from, root.join(to)).unwrap();
            fs::set_permissions(root.join(to), Permissions::from_mode(0o755)).unwrap();
        }
        let mut shared = Self { scene };
        shared.scene.configured_path = shared.db();
        shared.scene.database_keys = format!("meta-path: {}", root.join("state").display());
        shared
    }

    fn db(&self) -> PathBuf {
        self.scene.path("data/app.db")
    }

    fn log(&self) -> String {
        self.scene.log()
    }

    /// A program of this user, who is in the group.
    fn program(&self, user: u32, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user.to_string(), "--regid", &GROUP.to_string(), "--clear-groups", "sh", "-c"]);
        command.args(["umask 007 && exec \"$0\" \"$@\"", program]);
        command
    }

    fn writer(&self, commits: u64) -> Writer {
        let mut command = self.program(APPLICATION, "python3");
        command.arg(self.scene.path("chain.py")).arg("write").arg(self.db());
        Writer::start(command.args(["--stay", "--commits", &commits.to_string()]))
    }

    fn replicator(&self, user: u32) -> Replicator {
        let configured = self.scene.replicate_command();
        let mut command = self.program(user, &self.scene.path("lightship").display().to_string());
        command.args(configured.get_args());
        Replicator::start(command, self.scene.path("log"))
    }

    /// Commits so many times, and looks whether all of it can be restored.
    fn assert_followed(&self, replicator: Replicator, commits: u64) {
        replicator.wait_for(" stored db=");
        let mut writer = self.writer(commits);
        assert_eq!(writer.commits(), commits);
        replicator.stop_well();
        writer.leave();
        run(self.program(APPLICATION, "sqlite3").arg(self.db()).arg("PRAGMA wal_checkpoint(TRUNCATE);"));
        let restored = self.scene.restored_from(self.scene.replica(), &[]).unwrap();
        assert!(fs::read(self.db()).unwrap() == restored, "{}", self.log());
        assert!(chain_length(&restored) >= commits);
    }
}

/// The files that it makes beside the database belong to the database's owner, as SQLite sees to.
#[test]
fn an_application_of_another_user_can_write_though_root_has_followed_its_database_first() {
    if machine_has("root") {
        let shared = Shared::new(0o700, 0o600);
        shared.assert_followed(shared.replicator(0), 50);
    }
}

#[test]
fn a_replicator_of_another_user_follows_with_the_permissions_of_a_group_whoever_comes_first() {
    if machine_has("root") {
        let shared = Shared::new(0o2770, 0o660);
        shared.assert_followed(shared.replicator(REPLICATOR), 50);
        let mut first = shared.writer(10);
        first.commits();
        let replicator = shared.replicator(REPLICATOR);
        shared.assert_followed(replicator, 50);
        first.leave();
    }
}

/// It says what is missing, and the application does not feel it.
#[test]
fn a_replicator_that_may_not_write_beside_the_database_says_so_and_follows_once_it_may() {
    if machine_has("root") {
        let shared = Shared::new(0o750, 0o640);
        let replicator = shared.replicator(REPLICATOR);
        replicator.wait_for("cannot follow the database; will keep trying");
        let mut writer = shared.writer(20);
        assert_eq!(writer.commits(), 20);
        writer.leave();
        for (path, mode) in [(shared.scene.path("data"), 0o2770), (shared.db(), 0o660)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        shared.assert_followed(replicator, 30);
    }
}

/// It opens the database, forks, and both go on, each with a connection of its own.
#[test]
fn an_application_that_forks_is_followed() {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 60\ncheckpoint-interval: 150ms".to_owned();
    let replicator = scene.replicate_and_wait();
    for kind in ["0", "30"] {
        let mut writer = scene.writer(&["--fork", "--pause", "0.002", "--commits", "250", "--autocheckpoint", kind]);
        assert_eq!(writer.commits(), 250);
        writer.leave();
    }
    replicator.stop_well();
    let source = scene.source();
    assert_eq!(chain_length(&source), 1000);
    assert!(source == scene.restored(), "{}", scene.log());
    assert!(source == scene.restored_by(&litestream("LITESTREAM", "0.3.13"), scene.replica()).unwrap());
    assert!(!scene.log().contains("continuity lost"), "{}", scene.log());
}
