//! SIGKILL at random moments: of the replicator, and of the application.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::scene::*;

/// How often the replicator is killed. 200 is a good test of a release.
fn kills() -> u64 {
    setting("LIGHTSHIP_KILLS", 8)
}

fn nap(from_ms: u64, to_ms: u64) {
    std::thread::sleep(Duration::from_millis(fastrand::u64(from_ms..to_ms)));
}

/// So many deaths are each looked at; after them, as the history grows, one in five.
const LOOKED_AT: u64 = 10;

/// What the replicators have reported as stored, as it can be restored before the next one begins: that one reads the
/// live database, and would make up for what is lost.
struct Reported<'a> {
    scene: &'a Scene,
    /// Of the commit that was reported last.
    last: u64,
    /// The newest states that were restored.
    restored: Vec<PathBuf>,
}

impl<'a> Reported<'a> {
    fn of(scene: &'a Scene) -> Self {
        Self { scene, last: 0, restored: Vec::new() }
    }

    /// A replicator has died, the `number`th: the very commit that it, or one before it, has reported last can be
    /// restored, and the newest state is no older one.
    fn check(&mut self, number: u64) {
        let log = self.scene.log();
        let line = log.lines().rfind(|line| line.contains(" stored db="));
        let Some((_, position)) = line.and_then(|line| line.split_once("position=")) else { return };
        if number >= LOOKED_AT && !number.is_multiple_of(5) {
            return;
        }
        let position = position.split_whitespace().next().unwrap();
        let restored = |arguments: &[&str]| {
            let bytes = self.scene.restored_from(self.scene.replica(), arguments);
            bytes.unwrap_or_else(|error| panic!("death {number}: {position} is lost: {error}\n{log}"))
        };
        let (there, newest) = (chain_length(&restored(&["-position", position])), restored(&[]));
        let length = chain_length(&newest);
        assert!(there >= self.last, "death {number}: {position} is commit {there}, after {}\n{log}", self.last);
        assert!(length >= there, "death {number}: commit {there} was reported, and {length} is restored\n{log}");
        let kept = self.scene.path(&format!("restored-{number}"));
        fs::write(&kept, newest).unwrap();
        self.restored.push(kept);
        self.last = there;
    }

    /// Each state that was restored is one that the application has had: nobody replicates any more, and its end is in
    /// the database file.
    fn judge(&self) {
        // The few lives of a short run may all be too short.
        assert!(!self.restored.is_empty() || kills() < 20, "nothing was ever reported\n{}", self.scene.log());
        for restored in &self.restored {
            let within = python("chain.py").arg("within").arg(restored).arg(self.scene.db()).status().unwrap();
            assert!(within.success(), "{} is nothing that the application has had", restored.display());
        }
        println!("what was reported was restored after {} deaths", self.restored.len());
    }
}

/// Starts a replicator, kills it at a random moment, and so on while `writer` writes; the last one ends well.
fn kill_again_and_again(scene: &Scene, writers: Vec<Writer>) -> u64 {
    let mut reported = Reported::of(scene);
    for number in 0..kills() {
        let replicator = scene.replicate();
        nap(5, 600);
        replicator.kill();
        reported.check(number);
        nap(0, 100);
    }
    let attached = || scene.log().matches(" generation db=").count() + scene.log().matches("continuing the").count();
    let before = attached();
    let last = scene.replicate();
    // Without it the writers' end would be that of the last connection, which removes the WAL.
    wait_until("the last replicator to follow", || attached() > before);
    let commits = writers
        .into_iter()
        .map(|mut writer| {
            writer.child.kill().unwrap();
            writer.child.wait().unwrap();
        })
        .count();
    assert!(commits > 0);
    let end = chain_length(&read_while_live(scene));
    let since = std::time::Instant::now();
    loop {
        let restored = scene.restored_from(scene.replica(), &[]).map(|bytes| chain_length(&bytes));
        if restored.as_ref().is_ok_and(|length| *length == end) {
            break;
        }
        let waited = since.elapsed();
        assert!(waited < Duration::from_secs(30), "shipped {restored:?} of {end} commits\n{}", scene.log());
        nap(50, 51);
    }
    last.stop_well();
    let source = scene.source();
    assert!(source == scene.restored(), "the restored database is not the source\n{}", scene.log());
    reported.judge();
    chain_length(&source)
}

/// Nobody checkpoints, so the WAL is still whole after every kill, and the one generation goes on for ever.
#[test]
fn killed_replicator_continues_its_generation_if_the_wal_is_still_there() {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 100000000".to_owned();
    let writer = scene.writer(&["--autocheckpoint", "0", "--pause", "0.001"]);
    let commits = kill_again_and_again(&scene, vec![writer]);
    let log = scene.log();
    println!("{commits} commits, {} kills, {} indexes", kills(), indexes(scene.replica()));
    assert_eq!(generations(scene.replica()).len(), 1, "{log}");
}

/// The application checkpoints too: while nobody follows the WAL restarts several times, and what a handover has taken
/// into memory dies with the replicator. The pages tell what has become of the database, so the one generation goes on.
#[test]
fn killed_replicator_continues_its_generation_when_the_wal_has_gone() {
    let scene = Scene::with_chain(1024);
    let writers = vec![
        scene.writer(&["--writer", "1", "--autocheckpoint", "20", "--pause", "0.001"]),
        scene.writer(&["--writer", "2", "--checkpoints", "--pause", "0.001"]),
    ];
    let commits = kill_again_and_again(&scene, writers);
    let log = scene.log();
    let differences = log.matches("how=Difference").count();
    println!("{commits} commits, {} kills, {differences} differences, {} indexes", kills(), indexes(scene.replica()));
    // A life that was too short to keep the hashes of its pages may leave more behind than the small database is worth.
    let is_cheaper = |line: &&str| line.contains("new generation") && line.contains("a snapshot costs");
    let cheaper = log.lines().filter(is_cheaper).count();
    assert!(generations(scene.replica()).len() <= 1 + cheaper, "{log}");
    assert!(cheaper <= 1 + kills() as usize / 50, "{log}");
    assert!(differences > 0, "{log}");
}

/// The application is killed in the middle of transactions, and recovers its WAL while we follow it.
#[test]
fn killed_application_recovers_while_it_is_followed() {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 100".to_owned();
    let replicator = scene.replicate_and_wait();
    for n in 0..kills() {
        let kind = if n % 2 == 0 { ["--autocheckpoint", "10"] } else { ["--autocheckpoint", "0"] };
        let mut writer = scene.writer(&kind);
        nap(20, 250);
        writer.child.kill().unwrap();
        writer.child.wait().unwrap();
    }
    replicator.stop_well();
    let source = scene.source();
    assert!(chain_length(&source) > 0);
    let log = scene.log();
    assert!(source == scene.restored(), "the restored database is not the source\n{log}");
    assert!(!log.contains("continuity lost"), "{log}");
    assert_eq!(log.matches("new generation").count(), 1, "{log}");
}

/// Both are killed at once, as when the power fails for their container. The application then recovers its WAL alone.
#[test]
fn killed_together_with_its_application_the_replicator_continues() {
    let scene = Scene::with_chain(4096);
    let mut reported = Reported::of(&scene);
    for number in 0..kills() / 2 {
        let replicator = scene.replicate();
        // Nobody lives long enough to copy the WAL back: at full speed its recovery would soon take longer than
        // anything.
        let mut writer = scene.writer(&["--autocheckpoint", "0", "--pause", "0.002"]);
        nap(50, 400);
        writer.child.kill().unwrap();
        replicator.kill();
        writer.child.wait().unwrap();
        reported.check(number);
    }
    let replicator = scene.replicate();
    let mut writer = scene.writer(&["--autocheckpoint", "0", "--commits", "50"]);
    writer.commits();
    replicator.stop_well();
    drop(writer);
    assert!(scene.source() == scene.restored(), "the restored database is not the source\n{}", scene.log());
    reported.judge();
}
