//! A database with an encrypted replica, and those who read it with one key or another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub use crate::follow::scene::*;

/// Secret and public keys, made for these tests.
const KEYS: [(&str, &str); 3] = [
    (
        "AGE-SECRET-KEY-1LZHPJVD9ADU2HVHHZYRP9LL4A7Q7RPFLDN9AJY4A4E3MR5ASN46S68PURX",
        "age1zg3z703l4c0jdhh7v7653hahewfpcks2uhzqd8c6htfpamvg6ukqremm7v",
    ),
    (
        "AGE-SECRET-KEY-1XZJGAWPDTTMT50HRYYU6A874FUYWTK0V4AFQT8AH4HJPSM795PPQAV6GG7",
        "age16e5dnje280a62x6sr2znh8vft6fs9g63u4ja353h4j5mmdnrzq7qa2c0sk",
    ),
    (
        "AGE-SECRET-KEY-10P68G25QESMA5WQA32DM6ZZZC3MEUT0TMKTG0K8CEGU7SDLD59HSU0Q9XD",
        "age1a4jdte7uw2agd8lwpdt9rdtuaz49smqdd3v8h8nmafsz7s8pta9q2hr0kj",
    ),
];

/// Something that stands in the database, and nowhere in what is encrypted.
pub const CANARY: &str = "canary-b1d6e0-in-plain-sight";

/// What a configuration says of encryption: as whom to read, and for whom to write, by number.
pub fn age(identities: &[usize], recipients: &[usize]) -> String {
    let list = |name: &str, keys: Vec<&str>| format!("{name}: [{}]", keys.join(", "));
    let identities = list("identities", identities.iter().map(|n| KEYS[*n].0).collect());
    format!("{{{identities}, {}}}", list("recipients", recipients.iter().map(|n| KEYS[*n].1).collect()))
}

/// A database of which nothing but an encrypted replica is made.
pub struct Stage {
    pub scene: Scene,
}

impl Stage {
    /// `age` is what the replicator's configuration says, `keys` are lines for its replica.
    pub fn new(age: &str, keys: &str) -> Self {
        let mut scene = Scene::with_chain(1024);
        scene.sql(Shell::Python, &format!("CREATE TABLE seen (v TEXT); INSERT INTO seen VALUES ('{CANARY}');"));
        scene.replicas.clear();
        scene.database_keys = "min-checkpoint-page-count: 60\ncheckpoint-interval: 150ms\n\
                               merge-intervals: [300ms, 1s, 4s]"
            .to_owned();
        let mut stage = Self { scene };
        stage.encrypt(age, keys);
        stage
    }

    /// The replicator's configuration says this from now on.
    pub fn encrypt(&mut self, age: &str, keys: &str) {
        self.scene.more_replicas = self.replica_lines(age, keys);
    }

    fn replica_lines(&self, age: &str, keys: &str) -> String {
        let path = self.sealed().display().to_string();
        let age = if age.is_empty() { String::new() } else { format!("        age: {age}\n") };
        let keys: String = keys.lines().map(|line| format!("        {line}\n")).collect();
        format!("      - name: sealed\n        type: file\n        path: {path}\n{age}{keys}")
    }

    /// The encrypted replica.
    pub fn sealed(&self) -> PathBuf {
        self.scene.path("sealed")
    }

    /// Waits until the replica has a snapshot.
    pub fn replicate(&self) -> Replicator {
        let replicator = self.scene.replicate();
        wait_until("the first snapshot", || objects(&self.sealed()).iter().any(|o| o.contains("/snapshots/")));
        replicator
    }

    /// The configuration of somebody who reads: for our program and for Litestream.
    pub fn reader(&self, age: &str) -> PathBuf {
        let path = self.scene.path("reader.yml");
        let database = self.scene.db().display().to_string();
        fs::write(&path, format!("dbs:\n  - path: {database}\n    replicas:\n{}", self.replica_lines(age, "")))
            .unwrap();
        path
    }

    /// Runs one of our commands as a reader.
    pub fn run(&self, age: &str, arguments: &[&str]) -> Output {
        let mut command = lightship();
        command.args(arguments).args(["-config"]).arg(self.reader(age)).arg(self.scene.db());
        command.output().unwrap()
    }

    /// What one of our commands says to a reader; it must succeed.
    pub fn say(&self, age: &str, arguments: &[&str]) -> String {
        let (said, ended) = (said(&self.run(age, arguments)), self.run(age, arguments));
        assert!(ended.status.success(), "{arguments:?}\n{said}\n{}", self.scene.log());
        said
    }

    /// Restores with our program.
    pub fn restored(&self, age: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
        self.restored_by(lightship(), age, arguments)
    }

    /// Restores with the real Litestream 0.3.13.
    pub fn restored_by_litestream(&self, age: &str) -> Result<Vec<u8>, String> {
        self.restored_by(Command::new(litestream("LITESTREAM", "0.3.13")), age, &[])
    }

    fn restored_by(&self, mut program: Command, age: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let output = self.scene.path("restored-elsewhere");
        program.arg("restore").arg("-config").arg(self.reader(age)).arg("-o").arg(&output);
        program.args(arguments).arg(self.scene.db());
        run_restore(program, &output)
    }
}

/// Everything that a command has said.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

/// All files of a folder, with their contents.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                // It may be merged or deleted meanwhile.
                false => files.extend(fs::read(&path).ok().map(|bytes| (path, bytes))),
            }
        }
    }
    files.sort();
    files
}

/// The files in which `text` stands.
pub fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    contents(folder).into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path).collect()
}
