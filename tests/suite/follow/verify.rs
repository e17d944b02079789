//! `verify` beside a live database: no false alarms, and what has silently gone wrong is found.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::felt::Felt;
use super::scene::*;
use super::storm::storm;

/// The exit code and the answer.
fn verify(scene: &Scene, arguments: &[&str]) -> (i32, Value) {
    let mut command = lightship();
    command.arg("verify").arg("-json").arg("-config").arg(scene.path("lightship.yml")).args(arguments);
    let done = command.output().unwrap();
    let answer = serde_json::from_slice(&done.stdout);
    let answer = answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    (done.status.code().unwrap(), answer)
}

/// Writers at full speed, with checkpoints of all kinds and long readers, and `verify` all the while.
///
/// `LIGHTSHIP_VERIFY_SECONDS` is how long; ten minutes is a good test of a release.
#[test]
fn there_is_no_false_alarm_under_full_load() {
    let seconds = setting("LIGHTSHIP_VERIFY_SECONDS", 8);
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 50\npage-check-interval: 1s".to_owned();
    let replicator = scene.replicate_and_wait();
    let kinds: [&[&str]; 4] = [&["--checkpoints"], &["--readers", "--autocheckpoint", "20"], &[], &[]];
    let mut writers = storm(&scene, &["--seconds", &seconds.to_string()], &kinds);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut equal, mut inconclusive) = (0, 0);
    while Instant::now() < end {
        let (code, answer) = verify(&scene, &["-all"]);
        assert!(code != 2 && code != 1, "a false alarm: {answer:#}\n{}", scene.log());
        if code == 0 {
            equal += 1;
        } else {
            inconclusive += 1;
        }
        assert!(code != 0 || answer[0]["histories"].as_array().unwrap().last().unwrap()["equals_database"] == true);
        if code == 3 {
            println!("{answer:#}");
        }
    }
    let felt = Felt::of(&scene, &mut writers);
    writers.into_iter().for_each(Writer::leave);
    replicator.stop_well();
    println!("{equal} times equal to the database, {inconclusive} times inconclusive in {seconds} s; {felt}");
    assert!(equal > 0 && inconclusive <= equal, "{equal} equal, {inconclusive} inconclusive");
    felt.assert_no_refusal_is_ours(Duration::from_secs(30));
    let log = scene.log();
    assert!(!log.contains("continuity lost") && !log.contains("SILENT CHANGE"), "{log}");
    assert_eq!(chain_length(&scene.source()), felt.commits, "verify has disturbed the database");
}

/// A database that has been replicated for a while; nobody uses it any more.
fn replicated() -> Scene {
    let mut scene = Scene::with_chain(4096);
    // Many segments.
    scene.database_keys = "merge-intervals: []".to_owned();
    scene.sql(Shell::Python, "CREATE TABLE resting (v); INSERT INTO resting VALUES (randomblob(100000));");
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--commits", "50", "--pause", "0.01", "--stay"]);
    writer.commits();
    wait_until("equality", || verify(&scene, &[]).0 == 0);
    // At least one more segment.
    let mut other = scene.writer(&["--writer", "2", "--commits", "5", "--stay"]);
    other.commits();
    wait_until("equality", || verify(&scene, &[]).0 == 0);
    other.leave();
    replicator.stop_well();
    // Killed, so that its WAL stays as it is.
    drop(writer);
    scene
}

#[test]
fn a_database_that_differs_from_its_replica_in_one_bit_is_found() {
    let scene = replicated();
    let (code, answer) = verify(&scene, &["-full"]);
    assert_eq!(code, 0, "{answer:#}");
    assert!(answer.to_string().contains("integrity_check of the restored database is ok"), "{answer:#}");
    // A page that is in the database file alone.
    let wal = fs::read(scene.path("app.db-wal")).unwrap();
    let in_wal: Vec<u32> = wal[32..].chunks(4120).map(|f| u32::from_be_bytes([f[0], f[1], f[2], f[3]])).collect();
    let pages = (fs::metadata(scene.db()).unwrap().len() / 4096) as u32;
    let page = (2..=pages).find(|page| !in_wal.contains(page)).expect("a page that is not in the WAL");
    let file = fs::File::options().read(true).write(true).open(scene.db()).unwrap();
    let (mut byte, at) = ([0], u64::from(page - 1) * 4096 + 3000);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    drop(file);
    let (code, answer) = verify(&scene, &[]);
    assert_eq!(code, 2, "{answer:#}");
    assert!(answer.to_string().contains("its pages are not those"), "{answer:#}");
}

#[test]
fn a_replica_whose_end_has_gone_is_not_found_to_be_sound() {
    let scene = replicated();
    let segments: Vec<_> = objects(scene.replica()).into_iter().filter(|o| o.contains("/wal/")).collect();
    fs::remove_file(scene.replica().join("generations").join(segments.last().unwrap())).unwrap();
    let (code, answer) = verify(&scene, &[]);
    assert_eq!(code, 3, "{answer:#}");
    assert!(answer.to_string().contains("lacks the newest commits"), "{answer:#}");
    // In the middle it is damage, whatever the database says.
    fs::remove_file(scene.replica().join("generations").join(&segments[segments.len() / 2])).unwrap();
    assert_eq!(verify(&scene, &[]).0, 2);
}

#[test]
fn a_replicator_verifies_its_replicas_and_keeps_the_result_beside_them() {
    let scene = Scene::with_chain(4096);
    let config = format!(
        "dbs:\n  - path: {}\n    replicas:\n      - {{path: {}, validation-interval: 300ms}}\n",
        scene.db().display(),
        scene.replica().display()
    );
    fs::write(scene.path("lightship.yml"), config).unwrap();
    let mut command = lightship();
    command.arg("replicate").arg("-config").arg(scene.path("lightship.yml"));
    let replicator = Replicator::start(command, scene.path("log"));
    let mut writer = scene.writer(&["--commits", "30", "--pause", "0.01", "--stay"]);
    writer.commits();
    replicator.wait_for("verification ok");
    let result = || fs::read(scene.replica().join("lightship/verify.json")).unwrap_or_default();
    let kept = |what: &str| serde_json::from_slice::<Value>(&result()).is_ok_and(|kept| kept["result"] == what);
    wait_until("the result", || kept("ok"));
    // Nothing is asked of the replica while nothing is shipped.
    let said = || scene.log().matches("verification ").count();
    wait_until("a second without verification", || {
        let before = said();
        std::thread::sleep(Duration::from_secs(1));
        said() == before
    });
    let snapshot = objects(scene.replica()).into_iter().find(|o| o.contains("/snapshots/")).unwrap();
    let path = scene.replica().join("generations").join(&snapshot);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut other = scene.writer(&["--writer", "2", "--commits", "3", "--stay"]);
    other.commits();
    replicator.wait_for("verification failed");
    wait_until("the result", || kept("failed"));
    assert!(String::from_utf8(result()).unwrap().contains(&snapshot));
    let (code, answer) = verify(&scene, &["-last"]);
    assert!(code == 2 && answer[0]["faults"].to_string().contains(&snapshot), "{answer:#}");
    writer.leave();
    other.leave();
    replicator.stop_well();
}

#[test]
fn a_page_that_changes_behind_sqlites_back_is_noticed_and_shipped_as_it_is() {
    let mut scene = Scene::with_chain(4096);
    let text = "replace(hex(zeroblob(50000)), '0', 'RESTING ')";
    scene.sql(Shell::Python, &format!("CREATE TABLE resting (v); INSERT INTO resting VALUES ({text});"));
    scene.database_keys = "checkpoint-interval: 200ms\npage-check-interval: 300ms".to_owned();
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--commits", "50", "--pause", "0.01", "--stay"]);
    let commits = writer.commits();
    wait_until("equality", || verify(&scene, &[]).0 == 0);
    let bytes = fs::read(scene.db()).unwrap();
    let at = bytes.windows(16).rposition(|w| w == b"RESTING RESTING ").expect("the table is in the file") as u64;
    let file = fs::File::options().write(true).open(scene.db()).unwrap();
    file.write_all_at(b"r", at).unwrap();
    drop(file);
    replicator.wait_for("SILENT CHANGE");
    wait_until("equality", || verify(&scene, &[]).0 == 0);
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
    writer.leave();
    replicator.stop_well();
    let restored = scene.restored();
    assert_eq!(chain_length(&restored), commits);
    assert!(restored == scene.source() && restored.windows(8).any(|w| w == b"rESTING "));
}
