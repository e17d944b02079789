//! A stage for tests with real processes: a database, its replicas, and everybody who works on them.
//!
//! The test's own process never opens the database with SQLite: its locks are its processes' affair.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use super::mounts::*;
pub use super::processes::*;

/// Nothing in these tests takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One database and everything around it.
pub struct Scene {
    folder: TempDir,
    /// Lines under `dbs: - path:`, such as `min-checkpoint-page-count: 50`.
    pub database_keys: String,
    /// URLs of the replicas; one file replica by default.
    pub replicas: Vec<PathBuf>,
    /// Lines under `replicas:` for others.
    pub more_replicas: String,
    /// Where the configuration says that the database is.
    pub configured_path: PathBuf,
    /// What replicators and writers find in their environment.
    pub environment: Vec<(&'static str, PathBuf)>,
}

impl Scene {
    /// Nothing but a folder.
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        let (replicas, configured_path) = (vec![folder.path().join("replica")], folder.path().join("app.db"));
        let (database_keys, more_replicas) = (String::new(), String::new());
        Self { folder, database_keys, replicas, more_replicas, configured_path, environment: Vec::new() }
    }

    /// A database as `chain.py` makes it.
    pub fn with_chain(page_size: u32) -> Self {
        Self::with_chain_within(&std::env::temp_dir(), page_size)
    }

    /// The same, in a folder below this one.
    pub fn with_chain_within(folder: &Path, page_size: u32) -> Self {
        let scene = Self::in_folder(tempfile::tempdir_in(folder).unwrap());
        let made =
            python("chain.py").arg("init").arg(scene.db()).args(["--page-size", &page_size.to_string()]).status();
        assert!(made.unwrap().success());
        scene
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database.
    pub fn db(&self) -> PathBuf {
        self.path("app.db")
    }

    /// The first replica.
    pub fn replica(&self) -> &Path {
        &self.replicas[0]
    }

    fn write_config(&self) -> PathBuf {
        let keys = self.database_keys.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let replicas = self.replicas.iter().enumerate();
        let replicas =
            replicas.map(|(n, path)| format!("      - {{name: r{n}, type: file, path: {}}}\n", path.display()));
        let text = format!(
            "logging: {{level: debug}}\ndbs:\n  - path: {}\n{keys}    replicas:\n{}{}",
            self.configured_path.display(),
            replicas.collect::<String>(),
            self.more_replicas,
        );
        let path = self.path("lightship.yml");
        fs::write(&path, text).unwrap();
        path
    }

    /// A command that would start a replicator.
    pub fn replicate_command(&self) -> Command {
        let mut command = lightship();
        command.arg("replicate").arg("-config").arg(self.write_config()).envs(self.environment.iter().cloned());
        command
    }

    /// What `status` says in JSON of the database and of its replicas, and whether all is well.
    pub fn status(&self, arguments: &[&str]) -> (serde_json::Value, bool) {
        let mut command = lightship();
        let ended =
            command.args(["status", "-json", "-config"]).arg(self.path("lightship.yml")).args(arguments).output();
        let ended = ended.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        let answer: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{said}"));
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{said}");
        (answer[0].clone(), ended.status.success())
    }

    /// Starts a replicator. Its log goes on where that of an earlier one ended.
    pub fn replicate(&self) -> Replicator {
        Replicator::start(self.replicate_command(), self.path("log"))
    }

    /// Starts a replicator and waits until every replica has its first snapshot.
    pub fn replicate_and_wait(&self) -> Replicator {
        let replicator = self.replicate();
        wait_until("the first snapshot", || {
            self.replicas.iter().all(|replica| objects(replica).iter().any(|o| o.contains("/snapshots/")))
        });
        replicator
    }

    /// Everything that all replicators of this scene have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs `sql` on the database in a process of its own.
    pub fn sql(&self, shell: Shell, sql: &str) {
        shell.run(&self.db(), sql);
    }

    /// The database file, after a process of its own has copied all of the WAL into it.
    pub fn source(&self) -> Vec<u8> {
        Shell::Python.run(&self.db(), "PRAGMA wal_checkpoint(TRUNCATE);");
        fs::read(self.db()).unwrap()
    }

    /// Restores from `replica` with our own program.
    pub fn restored_from(&self, replica: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let output = self.folder.path().join("restored");
        let mut command = lightship();
        command.arg("restore").arg("-o").arg(&output).args(arguments).arg(url(replica));
        run_restore(command, &output)
    }

    /// Restores the latest state from the first replica.
    pub fn restored(&self) -> Vec<u8> {
        self.restored_from(self.replica(), &[]).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Restores the database itself, as a deploy does whose disk is empty.
    pub fn restore_in_place(&self, arguments: &[&str]) {
        let mut command = lightship();
        command.arg("restore").arg("-config").arg(self.write_config()).args(arguments).arg(&self.configured_path);
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    /// Restores with a real Litestream.
    pub fn restored_by(&self, litestream: &Path, replica: &Path) -> Result<Vec<u8>, String> {
        let output = self.folder.path().join("restored-by-litestream");
        let mut command = Command::new(litestream);
        command.arg("restore").arg("-o").arg(&output).arg(url(replica));
        run_restore(command, &output)
    }

    /// The size of the WAL's file in MiB.
    pub fn wal_mib(&self) -> u64 {
        fs::metadata(self.path("app.db-wal")).map_or(0, |wal| wal.len() >> 20)
    }

    /// How often a WAL was handed over, as the log says.
    pub fn handovers(&self) -> usize {
        self.log().matches("handed over db=").count()
    }

    /// Starts a writer of `chain.py` and waits for its first word.
    pub fn writer(&self, arguments: &[&str]) -> Writer {
        let mut command = python("chain.py");
        Writer::start(command.arg("write").arg(self.db()).args(arguments).envs(self.environment.iter().cloned()))
    }
}

/// Runs a restore to `output`, and takes what it has written.
pub fn run_restore(mut command: Command, output: &Path) -> Result<Vec<u8>, String> {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if !ended.status.success() {
        let said = [ended.stdout, ended.stderr].concat();
        return Err(format!("{command:?}: {}\n{}", ended.status, String::from_utf8_lossy(&said)));
    }
    let bytes = fs::read(output).unwrap();
    fs::remove_file(output).unwrap();
    Ok(bytes)
}

/// The state of the live database, read by a process of its own.
pub fn read_while_live(scene: &Scene) -> Vec<u8> {
    let copy = scene.path("copy.db");
    Shell::Cli.run(&scene.db(), &format!("VACUUM INTO '{}';", copy.display()));
    let bytes = std::fs::read(&copy).unwrap();
    std::fs::remove_file(copy).unwrap();
    bytes
}

/// The program under test.
pub fn lightship() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lightship"))
}

/// A script of `tests/support`.
pub fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(script));
    command
}

/// The URL of a file replica.
pub fn url(replica: &Path) -> String {
    format!("file://{}", replica.display())
}

/// Paths of all objects of a replica, relative to its generations.
pub fn objects(replica: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![replica.join("generations")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "lz4") {
                found.push(path.strip_prefix(replica.join("generations")).unwrap().display().to_string());
            }
        }
    }
    found.sort_unstable();
    found
}

/// Names of the generations of a replica that have a snapshot.
pub fn generations(replica: &Path) -> Vec<String> {
    let mut all: Vec<String> = objects(replica).iter().map(|object| object[..16].to_owned()).collect();
    all.dedup();
    all
}

/// How many indexes a replica has, over all generations.
pub fn indexes(replica: &Path) -> usize {
    let objects = objects(replica);
    let mut all: Vec<&str> = objects.iter().filter_map(|o| o.split_once('_').map(|(index, _)| index)).collect();
    all.dedup();
    all.len()
}

/// Who runs SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Python's sqlite3.
    Python,
    /// The sqlite3 program.
    Cli,
}

impl Shell {
    /// Runs `sql` on `database`, and ends.
    pub fn run(self, database: &Path, sql: &str) {
        let mut command = match self {
            Self::Python => python("run_sql.py"),
            Self::Cli => {
                let mut command = Command::new("sqlite3");
                command.args(["-bail", "-cmd", ".timeout 30000"]);
                command
            }
        };
        let mut child =
            command.arg(database).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{self:?}: {}\n{sql}", String::from_utf8_lossy(&ended.stderr));
    }
}

/// The number of the commit after which `bytes` is the state of a database of `chain.py`; panics if it is none.
pub fn chain_length(bytes: &[u8]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checked.db");
    fs::write(&path, bytes).unwrap();
    let ended = python("chain.py").arg("check").arg(&path).output().unwrap();
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "not the state after any commit: {error}");
    String::from_utf8(ended.stdout).unwrap().trim().parse().unwrap()
}

/// The real Litestream 0.3.13 or 0.5.17.
pub fn litestream(variable: &str, version: &str) -> PathBuf {
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/tools/litestream-{version}/bin/litestream"));
    let path = std::env::var_os(variable).map_or(installed, PathBuf::from);
    assert!(path.is_file(), "no Litestream {version} at {}: run tests/setup, or set {variable}", path.display());
    path
}

/// A setting of a long test.
pub fn setting(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Waits for `condition`.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, condition);
}

/// The same, for what takes longer.
pub fn wait_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
