//! Retention beside real writers and replicators that are killed: what is said to be restorable is, and what is gone
//! was meant to go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lightship::types::{Clock, SystemClock, Timestamp};
use serde_json::Value;

use super::scene::*;

/// Beside the first replica, which keeps everything, one that keeps next to nothing.
const THINNED: &str = "      - name: thinned
        type: file
        path: PATH
        retention: [{for: 1500ms}, {every: 700ms, for: 6s}]
        retention-check-interval: 200ms
        snapshot-interval: 2500ms
";

/// A replica may lag by so much when it is killed, and beginning to follow takes no longer.
const LITTLE_MS: u64 = 500;

struct Stage {
    scene: Scene,
    /// Named points of the thinned replica, and which commit each is.
    points: BTreeMap<String, u64>,
    gaps: usize,
    deleted: usize,
    /// States that were found to be those of the other replica.
    equal: usize,
    /// When replicators were started and killed, in turn, beginning with a start.
    lives: Vec<Timestamp>,
}

impl Stage {
    fn new() -> Self {
        let mut scene = Scene::with_chain(1024);
        // Something that stays: a database of which every page has changed is taken for another one.
        let ballast = "CREATE TABLE ballast (v BLOB); INSERT INTO ballast VALUES (zeroblob(200000));";
        scene.sql(Shell::Python, ballast);
        let thinned = scene.path("thinned");
        scene.database_keys =
            "min-checkpoint-page-count: 60\ncheckpoint-interval: 150ms\nmerge-intervals: [300ms, 1s, 4s]".to_owned();
        scene.more_replicas = THINNED.replace("PATH", &thinned.display().to_string());
        Self { scene, points: BTreeMap::new(), gaps: 0, deleted: 0, equal: 0, lives: Vec::new() }
    }

    /// What a command with the configuration says; it must succeed.
    fn say(&self, arguments: &[&str]) -> String {
        let mut command = lightship();
        command.args(arguments).args(["-replica", "thinned", "-config"]).arg(self.scene.path("lightship.yml"));
        let ended = command.arg(self.scene.db()).output().unwrap();
        let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(ended.status.success(), "{command:?}\n{said}\n{}", self.scene.log());
        said
    }

    /// The state of a replica at `time`.
    fn state(&self, replica: &str, arguments: &[&str]) -> Vec<u8> {
        let restored = self.scene.restored_from(&self.scene.path(replica), arguments);
        restored.unwrap_or_else(|error| panic!("{error}\n{}", self.scene.log()))
    }

    /// Every object of the thinned replica.
    fn listing(&self) -> BTreeSet<String> {
        let (root, mut found) = (self.scene.path("thinned"), BTreeSet::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "lz4") {
                    found.insert(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        found
    }

    /// Every object that a replicator has said it would delete, since the byte `from` of the log.
    fn said_to_go(&self, from: usize) -> BTreeSet<String> {
        let log = self.scene.log();
        let lines = log[from..].lines().filter(|line| line.contains("not kept by the retention"));
        lines.map(|line| line.split_once("object=").unwrap().1.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Nobody replicates: everything that `points` tells of can be restored, and is what it is in the other replica.
    fn check_points(&mut self) {
        let told: Value = serde_json::from_str(&self.say(&["points", "-json"])).unwrap();
        let rows = told.as_array().unwrap();
        assert_eq!(rows.len(), 1, "one generation: {told:#}");
        let (earliest, latest) = (milliseconds(&rows[0]["earliest"]), milliseconds(&rows[0]["latest"]));
        let gaps: Vec<(u64, u64)> = rows[0]["gaps"].as_array().unwrap().iter().map(gap).collect();
        let kept = rows[0]["gaps"].as_array().unwrap().iter().flat_map(|gap| gap["kept"].as_array().unwrap());
        let kept: Vec<u64> = kept.map(milliseconds).collect();
        let random = (0..3).map(|_| fastrand::u64(earliest..=latest));
        let mut times: Vec<u64> = random.chain(kept.iter().copied()).chain([earliest, latest]).collect();
        times.extend(gaps.iter().flat_map(|(from, to)| [*from, *to]));
        times.sort_unstable();
        let ends_at = self.latest_of("replica");
        let mut before = 0;
        for time in times.into_iter().filter(|time| *time <= ends_at) {
            let at = Timestamp(time).to_string();
            let in_gap = gaps.iter().any(|(from, to)| *from < time && time < *to) && !kept.contains(&time);
            let thinned = self.scene.restored_from(&self.scene.path("thinned"), &["-timestamp", &at]);
            // It may say what is missing, or restore what is left before it.
            let Some(thinned) = thinned.as_ref().map_or_else(
                |error| {
                    assert!(in_gap && error.contains("is missing"), "{error}\n{told:#}\n{}", self.scene.log());
                    None
                },
                Some,
            ) else {
                continue;
            };
            // The other one has a gap where it was behind when both were killed.
            let whole = match self.scene.restored_from(self.scene.replica(), &["-timestamp", &at]) {
                Err(error) if error.contains("is missing") => continue,
                whole => whole.unwrap(),
            };
            let length = chain_length(thinned);
            self.equal += usize::from(*thinned == whole);
            // What one of them lacked when both were killed gets the time of the next start there.
            if !self.is_about_a_death(time) {
                assert!(in_gap || *thinned == whole, "{at} is another state: commit {length}\n{told:#}");
                assert!(length <= chain_length(&whole), "{at} is later than it was\n{told:#}");
            }
            assert!(before <= length, "{at} is earlier than what was before it\n{told:#}");
            before = length;
        }
        self.gaps += gaps.len();
        for (name, commit) in &self.points {
            assert_eq!(chain_length(&self.state("thinned", &["-point", name])), *commit, "point {name}");
        }
    }

    /// Between a death, or a little before, and the next start, or a little after.
    fn is_about_a_death(&self, time: u64) -> bool {
        let deaths = self.lives.get(1..).unwrap_or_default().chunks(2);
        deaths.into_iter().any(|death| {
            let until = death.get(1).map_or(u64::MAX, |start| start.0 + LITTLE_MS);
            death[0].0 - LITTLE_MS <= time && time <= until
        })
    }

    fn latest_of(&self, replica: &str) -> u64 {
        let ended = lightship().args(["points", "-json", &url(&self.scene.path(replica))]).output().unwrap();
        let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
        milliseconds(&told[0]["latest"])
    }

    /// The latest state, for us and for the real Litestream.
    fn check_latest(&self) -> u64 {
        let ours = self.state("thinned", &[]);
        let theirs = self.scene.restored_by(&litestream("LITESTREAM", "0.3.13"), &self.scene.path("thinned"));
        assert!(theirs.unwrap() == ours, "Litestream restores something else\n{}", self.scene.log());
        chain_length(&ours)
    }

    /// Nobody replicates: what the plan says is deleted, and nothing else.
    fn prune(&mut self) {
        let before = self.listing();
        let planned: BTreeSet<String> = {
            let plan = self.say(&["retention", "-dry-run"]);
            let named = plan.lines().filter_map(|line| line.strip_prefix("delete  "));
            named.map(|line| line.split_once("  (").unwrap().0.to_owned()).collect()
        };
        assert_eq!(self.listing(), before, "-dry-run has deleted something");
        self.say(&["retention"]);
        let gone: BTreeSet<String> = before.difference(&self.listing()).cloned().collect();
        assert_eq!(gone, planned);
        self.deleted += gone.len();
    }

    /// Follows for a while and is killed. What is gone afterwards was planned, or has been merged into its neighbour.
    fn follow_for(&mut self, time: Duration) {
        let (before, said) = (self.listing(), self.scene.log().len());
        self.lives.push(SystemClock.now());
        let replicator = self.scene.replicate();
        std::thread::sleep(time);
        replicator.kill();
        self.lives.push(SystemClock.now());
        let planned = self.said_to_go(said);
        for gone in before.difference(&self.listing()) {
            let merged = gone.contains("/wal/") && !gone.contains("_00000000.");
            assert!(planned.contains(gone) || merged, "{gone} is gone\n{}", self.scene.log());
        }
        self.deleted += planned.len();
    }
}

fn milliseconds(time: &Value) -> u64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_millisecond().unsigned_abs()
}

fn gap(gap: &Value) -> (u64, u64) {
    (milliseconds(&gap["from"]), milliseconds(&gap["to"]))
}

/// `LIGHTSHIP_RETENTION_ROUNDS` is how often the replicator is killed.
#[test]
fn what_retention_leaves_is_what_was_promised_and_what_is_gone_was_planned() {
    let mut stage = Stage::new();
    stage.scene.replicate_and_wait().stop_well();
    let mut writer = stage.scene.writer(&["--seconds", "100000", "--pause", "0.01", "--autocheckpoint", "50"]);
    let mut named = 0;
    for round in 0..setting("LIGHTSHIP_RETENTION_ROUNDS", 5) {
        writer.signal("CONT");
        stage.follow_for(Duration::from_millis(fastrand::u64(400..2200)));
        // Looking takes long, and what happens meanwhile is not what this is about.
        writer.signal("STOP");
        let commit = stage.check_latest();
        if round % 2 == 0 {
            stage.say(&["point", "create", &format!("round-{round}")]);
            stage.points.insert(format!("round-{round}"), commit);
        }
        if round % 5 == 4 {
            let name = stage.points.pop_first().unwrap().0;
            stage.say(&["point", "delete", &name]);
        }
        named = named.max(stage.points.len());
        stage.check_points();
        stage.prune();
        stage.check_points();
        assert_eq!(stage.check_latest(), commit, "round {round}");
    }
    writer.signal("CONT");
    let attached = || stage.scene.log().matches("continuing the generation").count();
    let before = attached();
    let replicator = stage.scene.replicate();
    wait_until("the replicator to follow", || attached() > before);
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    replicator.stop_well();
    assert!(stage.scene.source() == stage.state("thinned", &[]), "{}", stage.scene.log());
    stage.check_latest();
    let Stage { gaps, deleted, equal, .. } = stage;
    println!("{deleted} objects deleted, {gaps} gaps seen, {named} points, {equal} states compared");
    assert!(deleted > 0 && gaps > 0 && equal > 0, "nothing was to be deleted\n{}", stage.scene.log());
}

/// The application opens and closes the database all the time, and is followed for shorter than the time between two
/// looks. If each look counted from the beginning of following, there would never be one.
#[test]
fn database_that_is_never_followed_for_long_is_pruned_all_the_same() {
    let scene = {
        let mut scene = Scene::with_chain(1024);
        scene.database_keys = "monitor-interval: 100ms".to_owned();
        scene.replicas.clear();
        let path = scene.path("replica");
        scene.more_replicas =
            format!("      - {{type: file, path: {}, retention: 2s, retention-check-interval: 2s}}\n", path.display());
        scene
    };
    let replicator = scene.replicate();
    replicator.wait_for("snapshot written");
    let let_go = || scene.log().matches("letting go of it").count();
    let pruned = || scene.log().contains("deleted what the retention does not keep");
    wait_until("the retention", || {
        let before = let_go();
        scene.writer(&["--commits", "3"]).commits();
        wait_until("the replicator to let go", || let_go() > before || pruned());
        pruned()
    });
    assert!(let_go() > 1, "{}", scene.log());
    replicator.stop_well();
    let restored = scene.restored_from(&scene.path("replica"), &[]).unwrap();
    assert!(scene.source() == restored);
}

/// Every file of `folder`, with what changes if it is written again.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            // What is being written may have got its name since.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if !entry.file_name().to_string_lossy().contains("tmp") {
                found.insert(entry.path(), (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
            }
        }
    }
    found
}

/// Everything that deletes or replaces elsewhere is wanted here: merging, ranges, retention, tidying up after a crash.
#[test]
fn append_only_replica_is_only_ever_added_to() {
    let mut stage = Stage::new();
    stage.scene.more_replicas += "        append-only: true\n        validation-interval: 500ms\n";
    stage.scene.replicate_and_wait().stop_well();
    let root = stage.scene.path("thinned");
    let mut writer = stage.scene.writer(&["--seconds", "100000", "--pause", "0.005", "--autocheckpoint", "50"]);
    let mut before = files(&root);
    for round in 0..5 {
        let attached = || stage.scene.log().matches("continuing the").count();
        let attached_before = attached();
        let replicator = stage.scene.replicate();
        wait_until("the replicator to follow", || attached() > attached_before);
        std::thread::sleep(Duration::from_millis(fastrand::u64(500..1500)));
        if round % 2 == 0 {
            replicator.kill();
        } else {
            replicator.stop_well();
        }
        let after = files(&root);
        for (path, file) in &before {
            assert_eq!(after.get(path), Some(file), "{} was deleted or replaced", path.display());
        }
        before = after;
    }
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    stage.say(&["point", "create", "here"]);
    let files_before = files(&root);
    assert!(stage.say(&["retention"]).contains("deletes 0 of"));
    let mut command = lightship();
    command.args(["point", "delete", "here", "-config"]).arg(stage.scene.path("lightship.yml"));
    let refused = command.args(["-replica", "thinned"]).arg(stage.scene.db()).output().unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("append-only"));
    assert_eq!(files(&root), files_before);
    let source = stage.scene.source();
    let replicator = stage.scene.replicate();
    let shipped = || stage.scene.restored_from(&root, &[]).is_ok_and(|bytes| bytes == source);
    wait_until("everything to be shipped", shipped);
    replicator.stop_well();
    stage.check_latest();
    assert!(stage.scene.log().contains("merged range written"), "{}", stage.scene.log());
}
