//! Several replicators that ship copies of one database to one replica.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lightship::segment::Decoder;

use super::scene::*;

/// A copy of `original`, of its WAL too, which goes to the same replica. `twin`: of its state folder as well.
fn copy_of(original: &Scene, twin: bool) -> Scene {
    let mut copy = Scene::new();
    copy.replicas = original.replicas.clone();
    copy.database_keys = original.database_keys.clone();
    for suffix in ["", "-wal"] {
        let from = original.path(&format!("app.db{suffix}"));
        if from.exists() {
            fs::copy(from, copy.path(&format!("app.db{suffix}"))).unwrap();
        }
    }
    if twin {
        let folder = copy.path(".app.db-lightship");
        fs::create_dir(&folder).unwrap();
        fs::copy(original.path(".app.db-lightship/writer"), folder.join("writer")).unwrap();
    }
    copy
}

/// Starts a replicator and waits until it follows its database.
pub fn replicate_and_follow(scene: &Scene) -> Replicator {
    let attached = || scene.log().matches(" generation db=").count() + scene.log().matches("continuing the").count();
    let before = attached();
    let replicator = scene.replicate();
    wait_until("the replicator to follow", || attached() > before);
    replicator
}

/// The generation that the last replicator of `scene` wrote.
fn last_generation(scene: &Scene) -> String {
    let log = scene.log();
    let line = log.lines().rfind(|l| l.contains("new generation") || l.contains("continuing the generation"));
    let (_, name) = line.unwrap().split_once("generation=").unwrap();
    name[..16].to_owned()
}

/// A database with a few commits in its WAL, all of them in the replica; nobody has it open any more.
fn a_history() -> Scene {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--autocheckpoint", "0", "--commits", "20", "--stay"]);
    writer.commits();
    let shipped = || scene.restored_from(scene.replica(), &[]).is_ok_and(|bytes| chain_length(&bytes) == 20);
    wait_until("the commits", shipped);
    replicator.kill();
    // The last connection would remove the WAL if it were closed.
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    scene
}

/// Where an index ends, a generation can go on with more of it or with the next. The one that was stopped goes on with
/// more of it, and the other has begun the next: if names alone were claimed, both would find theirs free.
#[test]
fn writer_that_slept_cannot_continue_an_index_that_another_has_ended() {
    let mut ours = a_history();
    let theirs = copy_of(&ours, true);
    let sleeper = replicate_and_follow(&theirs);
    sleeper.signal("STOP");
    let generation = last_generation(&theirs);

    ours.database_keys = "checkpoint-interval: 10ms".to_owned();
    let before = ours.handovers();
    let replicator = replicate_and_follow(&ours);
    wait_until("a handover", || ours.handovers() > before);
    let mut writer = ours.writer(&["--autocheckpoint", "0", "--commits", "3", "--stay"]);
    writer.commits();
    replicator.stop_well();
    assert_eq!(generations(ours.replica()), [generation.as_str()]);
    let names = objects(ours.replica());
    assert!(names.iter().any(|name| name.contains("/00000001_00000000")), "{names:?}");
    drop(writer);

    let mut writer = theirs.writer(&["--writer", "2", "--autocheckpoint", "0", "--commits", "3", "--stay"]);
    writer.commits();
    sleeper.signal("CONT");
    sleeper.wait_for("CONFLICT");
    sleeper.stop_well();
    drop(writer);
    assert!(ours.source() == ours.restored_from(ours.replica(), &["-generation", &generation]).unwrap());
    let forked = last_generation(&theirs);
    assert!(forked != generation && theirs.log().contains("with a copy of our state folder"), "{}", theirs.log());
    assert!(theirs.source() == theirs.restored_from(theirs.replica(), &["-generation", &forked]).unwrap());
    let of_first = |o: &&String| o.starts_with(&generation);
    assert!(objects(ours.replica()).iter().filter(of_first).eq(names.iter()), "the generation was written to");
    assert_eq!(parents(ours.replica())[&forked].as_deref(), Some(generation.as_str()));
}

/// The name behind the last object of another writer is free again once that one has taken it, and merged.
#[test]
fn writer_that_slept_does_not_take_a_name_that_merging_has_freed() {
    let ours = Scene::with_chain(4096);
    let replicator = ours.replicate_and_wait();
    let commits = |n: u64| {
        let mut writer =
            ours.writer(&["--autocheckpoint", "0", "--pause", "0.05", "--commits", &n.to_string(), "--stay"]);
        writer.commits();
        writer
    };
    let shipped = |n| ours.restored_from(ours.replica(), &[]).is_ok_and(|bytes| chain_length(&bytes) == n);
    let _first = commits(3);
    wait_until("the first commits", || shipped(3));
    let before = objects(ours.replica());
    let theirs = copy_of(&ours, false);
    let sleeper = replicate_and_follow(&theirs);
    sleeper.signal("STOP");
    let generation = last_generation(&theirs);
    assert_eq!(generations(ours.replica()), [generation.as_str()]);

    let _second = commits(1);
    wait_until("one more commit", || shipped(4));
    let name = objects(ours.replica()).into_iter().find(|name| !before.contains(name)).unwrap();
    let _third = commits(40);
    wait_until("more commits, and that they are merged", || shipped(44) && !objects(ours.replica()).contains(&name));

    let mut writer = theirs.writer(&["--writer", "2", "--autocheckpoint", "0", "--commits", "3", "--stay"]);
    writer.commits();
    sleeper.signal("CONT");
    sleeper.wait_for("CONFLICT");
    sleeper.stop_well();
    let _fourth = commits(2);
    replicator.stop_well();
    let restored = ours.restored_from(ours.replica(), &["-generation", &generation]).unwrap();
    assert_eq!(chain_length(&restored), chain_length(&ours.source()), "{:#?}\n{}", objects(ours.replica()), ours.log());
    assert!(ours.source() == restored);
    drop(writer);
    let forked = last_generation(&theirs);
    assert!(theirs.source() == theirs.restored_from(theirs.replica(), &["-generation", &forked]).unwrap());
}

/// The parent of each generation, as `generations` tells it.
fn parents(replica: &Path) -> BTreeMap<String, Option<String>> {
    let told = lightship().args(["generations", "-json", &url(replica)]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let each = told.as_array().unwrap().iter();
    each.map(|g| (text(&g["generation"]).unwrap(), text(&g["parent"]["generation"]))).collect()
}

/// Frames of the pages that `chain.py` makes here.
const FRAME_BYTES: usize = 24 + 4096;
const WAL_HEADER_BYTES: usize = 32;

/// An object as it was when it was first seen like this.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    meta: (u64, u64, i64, i64),
    /// Of a segment: each frame by the offset at which it ends in its index.
    frames: BTreeMap<usize, u64>,
}

impl Seen {
    /// `None` if it has just been deleted.
    fn at(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        let (_, offset) = path.file_name()?.to_str()?.split_once('_').unwrap_or_default();
        let mut frames = BTreeMap::new();
        if let Ok(offset) = usize::from_str_radix(offset.split('.').next()?, 16) {
            let (object, mut raw) = (fs::read(path).ok()?, Vec::new());
            let mut decoder = Decoder::new(object.as_slice());
            while let Some(block) = decoder.next_block().unwrap() {
                raw.extend_from_slice(block);
            }
            let head = if offset == 0 { WAL_HEADER_BYTES.min(raw.len()) } else { 0 };
            let ends = (offset + head + FRAME_BYTES..).step_by(FRAME_BYTES);
            frames = ends.zip(raw[head..].chunks(FRAME_BYTES).map(xxhash_rust::xxh3::xxh3_64)).collect();
        }
        Some(Self { meta: (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()), frames })
    }

    /// Whether this can stand in the place of `other`, and of others behind it: it has each of its frames. A snapshot,
    /// and the end of an index, have none, and nothing can stand in their place.
    fn covers(&self, other: &Self) -> bool {
        !other.frames.is_empty() && other.frames.iter().all(|(end, frame)| self.frames.get(end) == Some(frame))
    }
}

/// Sees to it that nothing that was once stored in a replica changes or disappears, but for segments that have become
/// part of a larger one.
struct Guard {
    replica: PathBuf,
    seen: BTreeMap<String, Seen>,
    merged: usize,
}

impl Guard {
    fn of(replica: &Path) -> Self {
        Self { replica: replica.to_owned(), seen: BTreeMap::new(), merged: 0 }
    }

    fn look(&mut self) {
        let listed = objects(&self.replica);
        let is_known = |object: &String, path: &Path| {
            let now = fs::metadata(path).ok().map(|meta| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
            self.seen.get(object).is_some_and(|seen| Some(seen.meta) == now)
        };
        let mut news = BTreeMap::new();
        for object in &listed {
            let path = self.replica.join("generations").join(object);
            if !is_known(object, &path)
                && let Some(now) = Seen::at(&path)
            {
                news.insert(object.clone(), now);
            }
        }
        for (object, now) in news {
            if let Some(before) = self.seen.get(&object) {
                assert!(now.covers(before), "{object} was overwritten");
                self.merged += 1;
            }
            self.seen.insert(object, now);
        }
        let gone: Vec<String> = self.seen.keys().filter(|object| !listed.contains(object)).cloned().collect();
        for object in gone {
            // Its index and those in it that stand before it.
            let index = object.split_once('_').map_or(object.as_str(), |(index, _)| index);
            let before = self.seen.range(index.to_owned()..object.clone());
            let covered = before.clone().any(|(_, other)| other.covers(&self.seen[&object]));
            assert!(covered, "{object} was deleted");
            self.seen.remove(&object);
        }
    }
}

#[test]
fn guard_of_a_replica_notices_what_must_not_happen() {
    let history = a_history();
    let folder = history.replica().join("generations");
    let all = objects(history.replica());
    let segment = folder.join(all.iter().rfind(|object| object.contains("/wal/")).unwrap());
    let snapshot = folder.join(all.iter().find(|object| object.contains("/snapshots/")).unwrap());
    let ruins: [fn(&Path, &[u8]); 2] =
        [|path, _| fs::remove_file(path).unwrap(), |path, other| fs::write(path, other).unwrap()];
    for (number, ruin) in ruins.into_iter().enumerate() {
        for (path, other) in [(&segment, &snapshot), (&snapshot, &segment)] {
            let kept = fs::read(path).unwrap();
            let mut guard = Guard::of(history.replica());
            guard.look();
            guard.look();
            ruin(path, &fs::read(other).unwrap());
            let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guard.look()));
            assert!(noticed.is_err(), "{number}: {}", path.display());
            fs::write(path, kept).unwrap();
        }
    }
}

/// Two to five copies of a database, each with an application that writes and a replicator that is killed, stopped and
/// started at random, and all of them go to one replica. Whatever happens: no object is overwritten but by a merged one
/// that holds it, each generation is a prefix of what one of the applications wrote, and the last one of each copy is
/// that copy.
///
/// `LIGHTSHIP_WRITERS_SECONDS` is how long; ten minutes is a good test of a release.
#[test]
fn replicators_that_share_a_replica_never_interleave() {
    let seconds = setting("LIGHTSHIP_WRITERS_SECONDS", 6);
    let first = a_history();
    let copies: Vec<Scene> = (0..fastrand::usize(1..5)).map(|n| copy_of(&first, n % 2 == 0)).collect();
    let scenes: Vec<Scene> = std::iter::once(first).chain(copies).collect();
    let mut guard = Guard::of(scenes[0].replica());
    let mut replicators: Vec<Option<Replicator>> =
        scenes.iter().map(|scene| Some(replicate_and_follow(scene))).collect();
    let kinds: [&[&str]; 3] = [&["--autocheckpoint", "0"], &["--autocheckpoint", "30"], &["--checkpoints"]];
    let start = |n: usize, scene: &Scene| {
        let writer = ["--writer", &format!("{}", n + 1), "--pause", "0.004"].map(str::to_owned);
        let arguments: Vec<&str> = writer.iter().map(String::as_str).chain(kinds[n % 3].iter().copied()).collect();
        scene.writer(&arguments)
    };
    let writers: Vec<Writer> = scenes.iter().enumerate().map(|(n, scene)| start(n, scene)).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let n = fastrand::usize(..scenes.len());
        match (replicators[n].take(), fastrand::u8(..3)) {
            (None, _) => replicators[n] = Some(scenes[n].replicate()),
            (Some(replicator), 0) => replicator.kill(),
            (Some(replicator), _) => {
                replicator.signal("STOP");
                std::thread::sleep(Duration::from_millis(fastrand::u64(..300)));
                replicator.signal("CONT");
                replicators[n] = Some(replicator);
            }
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(..200)));
        guard.look();
    }
    let last: Vec<Replicator> = replicators
        .into_iter()
        .zip(&scenes)
        .map(|(replicator, scene)| replicator.unwrap_or_else(|| replicate_and_follow(scene)))
        .collect();
    for mut writer in writers {
        writer.child.kill().unwrap();
        writer.child.wait().unwrap();
    }
    last.into_iter().for_each(Replicator::stop_well);
    guard.look();
    println!("{} objects were seen to become part of another", guard.merged);
    judge(&scenes, seconds);
}

fn judge(scenes: &[Scene], seconds: u64) {
    let replica = scenes[0].replica();
    let sources: Vec<PathBuf> = scenes
        .iter()
        .map(|scene| {
            let own = last_generation(scene);
            let restored = scene.restored_from(replica, &["-generation", &own]);
            let restored = restored.unwrap_or_else(|error| panic!("{error}\n{}", scene.log()));
            assert!(scene.source() == restored, "{own} is not what it was made from\n{}", scene.log());
            scene.db()
        })
        .collect();
    let parents = parents(replica);
    for generation in parents.keys() {
        if !objects(replica).iter().any(|o| o.starts_with(&format!("{generation}/snapshots/"))) {
            continue;
        }
        let restored = scenes[0].restored_from(replica, &["-generation", generation]);
        let restored = restored.unwrap_or_else(|error| panic!("{error}"));
        let length = chain_length(&restored);
        let copy = scenes[0].path("restored.db");
        fs::write(&copy, &restored).unwrap();
        let within = python("chain.py").arg("within").arg(&copy).args(&sources).status().unwrap();
        assert!(within.success(), "{generation}, of {length} commits, is nobody's");
    }
    let logs: String = scenes.iter().map(Scene::log).collect();
    let (forks, conflicts) = (parents.values().flatten().count(), logs.matches("CONFLICT").count());
    println!("{} replicators, {} generations, {forks} forks, {conflicts} conflicts", scenes.len(), parents.len());
    assert!(scenes.len() < 2 || forks > 0, "nobody has forked\n{logs}");
    // Whoever was killed before it wrote anything finds out at its next start.
    assert!(scenes.len() < 2 || conflicts > 0 || seconds < 30, "nobody reported a conflict\n{logs}");
}
