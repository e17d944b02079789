//! `status` beside real replicators: what they do, what is the matter with a store, and that idle ones write nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::proxy::{Fault, Proxy};
use super::stage::*;

/// The two replicas in an answer: the one in files, and that in S3.
fn replicas(answer: &serde_json::Value) -> [&serde_json::Value; 2] {
    let of = |name: &str| answer["replicas"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap();
    [of("r0"), of("s3")]
}

fn are_following(answer: &serde_json::Value) -> bool {
    replicas(answer).iter().all(|r| r["state"] == "following" && r["behind_commits"] == 0 && r["position"].is_string())
}

#[test]
fn status_of_healthy_replicas_tells_where_they_are_and_what_it_has_cost() {
    let (mut stage, _proxy) = Stage::with_folder_and_proxy();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let replicator = stage.replicate_and_wait();
    // A reader is in the way, so a handover takes the write lock, and puts itself off.
    let sql = "BEGIN; SELECT count(*) FROM chain;";
    let reader = Writer::start(python("run_sql.py").arg(stage.scene.db()).args(["--stay", sql]));
    let mut writer = stage.scene.writer(&["--commits", "1200", "--pause", "0.001", "--stay"]);
    writer.commits();
    wait_until("the write lock to be taken", || stage.scene.status(&[]).0["write_lock"]["count"].as_u64() > Some(0));
    reader.leave();
    wait_until("both replicas to have everything", || {
        let (answer, well) = stage.scene.status(&[]);
        well && are_following(&answer)
            && replicas(&answer).iter().all(|r| r["objects"].as_u64() > Some(1))
            && answer["handovers"].as_u64() > Some(0)
    });
    let (answer, well) = stage.scene.status(&[]);
    assert!(well && answer["running"] == true && answer["problem"].is_null(), "{answer:#}");
    assert_eq!(answer["state"], "following", "{answer:#}");
    assert_eq!(answer["pid"], replicator.child.id(), "{answer:#}");
    let lock = &answer["write_lock"];
    let times = ["p50_us", "p99_us", "p999_us", "max_us"].map(|name| lock[name].as_u64().unwrap());
    assert!(times.is_sorted(), "{answer:#}");
    for replica in replicas(&answer) {
        assert!(replica["requests"]["put"]["requests"].as_u64() >= replica["objects"].as_u64(), "{answer:#}");
        assert!(replica["requests"]["put"]["bytes"].as_u64() > Some(0) && replica["shipped_ms"].is_u64(), "{answer:#}");
        assert_eq!(replica["lag_ms"], 0, "{answer:#}");
        let at = replica["position"].as_str().unwrap();
        assert_eq!(at.split_once('/').unwrap().0, answer["generation"], "{answer:#}");
    }
    let mut command = lightship();
    let ended = command.args(["status", "-config"]).arg(stage.scene.path("lightship.yml")).output().unwrap();
    let table = String::from_utf8(ended.stdout).unwrap();
    assert!(table.contains("following") && table.contains("the write lock was held"), "{table}");
    replicator.stop_well();
    writer.leave();
}

#[test]
fn status_tells_a_dead_store_from_the_replica_beside_it_and_when_it_is_back() {
    let (stage, proxy) = Stage::with_folder_and_proxy();
    // With it the database is never let go of: whoever begins to follow asks every replica where it ends.
    let app = stage.scene.writer(&["--commits", "1", "--stay"]);
    let replicator = stage.replicate_and_wait();
    wait_until("a snapshot in both", || are_following(&stage.scene.status(&[]).0));
    proxy.set(|_| Fault::Refuse);
    let mut writer = stage.scene.writer(&["--writer", "2", "--commits", "30"]);
    writer.commits();
    wait_until("the dead store to be told", || {
        let (answer, well) = stage.scene.status(&["-max-lag", "1s"]);
        let [file, s3] = replicas(&answer);
        !well && s3["state"] == "failing" && file["state"] == "following" && file["behind_commits"] == 0
    });
    let (answer, well) = stage.scene.status(&["-max-lag", "1h"]);
    let s3 = replicas(&answer)[1];
    assert!(well, "an outage is none before it lasts: {answer:#}");
    assert!(s3["lag_ms"].as_u64() > Some(0) && s3["behind_commits"].as_u64() > Some(0), "{answer:#}");
    assert!(s3["behind_bytes"].as_u64() > Some(4096) && s3["needs_operator"] == false, "{answer:#}");
    proxy.set(|_| Fault::None);
    wait_until("it to be back", || {
        let (answer, well) = stage.scene.status(&["-max-lag", "1s"]);
        well && are_following(&answer)
    });
    replicator.stop_well();
    app.leave();
}

#[test]
fn status_tells_apart_what_an_operator_has_to_do() {
    let (stage, proxy) = Stage::with_folder_and_proxy();
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--seconds", "100", "--pause", "0.05"]);
    let refusals = [
        (403, "InvalidAccessKeyId", "wrong-key"),
        (403, "AccessDenied", "access-denied"),
        (404, "NoSuchBucket", "no-bucket"),
        (400, "ExpiredToken", "expired"),
        (403, "RequestTimeTooSkewed", "clock"),
    ];
    for (status, code, name) in refusals {
        proxy.set(move |_| Fault::Status(status, code));
        wait_until(name, || {
            let (answer, well) = stage.scene.status(&[]);
            let s3 = replicas(&answer)[1].clone();
            let says = s3["problem"].as_str().unwrap_or_default();
            !well && s3["needs_operator"] == true && s3["failing"] == name && says.starts_with(name)
        });
    }
    proxy.set(|_| Fault::None);
    wait_until("it to be back", || stage.scene.status(&[]).1);
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    replicator.stop_well();
}

/// The only replica refuses to say where it ends, so the database cannot be followed; and once it can, nothing needs be
/// put.
#[test]
fn status_tells_what_is_the_matter_with_a_store_before_anything_is_followed() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    let app = stage.scene.writer(&["--commits", "1", "--stay"]);
    stage.replicate_and_wait().stop_well();
    proxy.set(|_| Fault::Status(403, "InvalidAccessKeyId"));
    let replicator = stage.replicate();
    let s3 = |answer: &serde_json::Value| answer["replicas"][0].clone();
    wait_until("the store's reason to be told", || {
        let (answer, well) = stage.scene.status(&[]);
        !well && answer["state"] == "waiting" && s3(&answer)["failing"] == "wrong-key"
    });
    proxy.set(|_| Fault::None);
    wait_until("it to be back", || {
        let (answer, well) = stage.scene.status(&[]);
        well && s3(&answer)["failing"].is_null() && s3(&answer)["state"] == "following"
    });
    replicator.stop_well();
    app.leave();
}

#[test]
fn status_says_that_nobody_replicates() {
    let stage = Stage::new();
    let unborn = stage.scene.replicate_command();
    drop(unborn);
    let (answer, well) = stage.scene.status(&[]);
    assert!(!well && answer["running"] == false, "{answer:#}");
    let replicator = stage.replicate_and_wait();
    wait_until("it to be running", || stage.scene.status(&[]).0["running"] == true);
    replicator.kill();
    let (answer, well) = stage.scene.status(&[]);
    assert!(!well && answer["running"] == false && answer["problem"].as_str().unwrap().contains("no replicator"));
    fs::remove_dir_all(stage.scene.path(".app.db-lightship")).unwrap();
    fs::remove_file(stage.scene.db()).unwrap();
    let (answer, well) = stage.scene.status(&[]);
    assert!(well && answer["state"] == "no-database" && answer["running"].is_null(), "{answer:#}");
}

#[test]
fn status_of_a_database_that_nobody_uses_says_that_everything_is_shipped() {
    let (stage, _proxy) = Stage::with_folder_and_proxy();
    let replicator = stage.replicate_and_wait();
    wait_until("it to be let go of", || {
        let (answer, well) = stage.scene.status(&[]);
        well && answer["state"] == "resting" && are_following(&answer)
    });
    replicator.stop_well();
}

/// A second replicator of the same database learns that it is one too many, and does not speak for the first.
#[test]
fn status_is_that_of_the_replicator_that_follows() {
    let stage = Stage::new();
    let first = stage.replicate_and_wait();
    let mut command = stage.scene.replicate_command();
    log_in(&mut command);
    let second = Replicator::start(command, stage.scene.path("log"));
    second.wait_for("another lightship");
    std::thread::sleep(Duration::from_secs(1));
    let (answer, well) = stage.scene.status(&[]);
    assert!(well && answer["pid"] == first.child.id(), "{answer:#}");
    second.kill();
    first.stop_well();
}

#[test]
fn idle_database_gets_no_new_status() {
    let (stage, _proxy) = Stage::with_folder_and_proxy();
    let app = stage.scene.writer(&["--commits", "1", "--stay"]);
    let replicator = stage.replicate_and_wait();
    wait_until("a snapshot in both", || are_following(&stage.scene.status(&[]).0));
    // Until what was shipped last has been told.
    std::thread::sleep(Duration::from_secs(5));
    let file = stage.scene.path(".app.db-lightship/status.json");
    let written = || fs::metadata(&file).map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec())).unwrap();
    let before = written();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(written(), before, "{}", stage.scene.log());
    assert!(stage.scene.status(&["-max-lag", "1s"]).1);
    replicator.stop_well();
    drop(app);
}
