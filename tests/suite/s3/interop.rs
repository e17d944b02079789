//! One bucket, three programs.

use std::process::Command;

use super::stage::*;

fn litestreams() -> [std::path::PathBuf; 2] {
    [litestream("LITESTREAM", "0.3.13"), litestream("LITESTREAM_05", "0.5.17")]
}

#[test]
fn what_goes_to_s3_is_restored_by_us_and_by_both_litestreams() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--commits", "150", "--pause", "0.005"]);
    writer.commits();
    replicator.stop_well();
    drop(writer);
    let source = stage.scene.source();
    assert!(stage.restored() == source, "{}", stage.scene.log());
    for litestream in litestreams() {
        let restored = stage.restored_by(&litestream);
        assert!(restored.unwrap() == source, "{}\n{}", litestream.display(), stage.scene.log());
    }
    let log = stage.scene.log();
    assert!(!log.contains("SECRETOFTEST") && !log.contains("AKIDOFTEST"), "{log}");
    assert!(!log.contains(" WARN ") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_replica_in_s3_is_named_by_a_url_alone() {
    let stage = Stage::new();
    let mut command = lightship();
    log_in(&mut command);
    command.arg("replicate").arg(stage.scene.db()).arg(stage.url());
    let replicator = Replicator::start(command, stage.scene.path("log"));
    wait_until("the first snapshot in S3", || stage.keys().iter().any(|key| key.contains("/snapshots/")));
    let mut writer = stage.scene.writer(&["--commits", "20"]);
    writer.commits();
    replicator.stop_well();
    drop(writer);
    assert!(stage.restored() == stage.scene.source());
    for keys in stage.keys() {
        assert!(keys.starts_with("app/generations/") || keys == "app/lightship/create-probe", "{keys}");
    }
}

#[test]
fn what_litestream_wrote_to_s3_is_restored() {
    let stage = Stage::new();
    let [litestream, _] = litestreams();
    let mut command = Command::new(&litestream);
    log_in(&mut command);
    command.arg("replicate").arg(stage.scene.db()).arg(stage.url());
    let replicator = Replicator::start(command, stage.scene.path("litestream-log"));
    wait_until("Litestream's snapshot in S3", || stage.keys().iter().any(|key| key.contains("/snapshots/")));
    let mut writer = stage.scene.writer(&["--commits", "100", "--pause", "0.01"]);
    writer.commits();
    writer.leave();
    // It has no word for having shipped everything; stopped, it ships what there is.
    replicator.stop();
    let restored = stage.restored();
    assert!(restored == stage.restored_by(&litestream).unwrap());
    assert!(chain_length(&restored) > 0);
}

/// Its files lie elsewhere in a bucket than in a folder.
#[test]
fn what_litestream_0_5_wrote_to_s3_is_listed_and_restored() {
    let stage = Stage::new();
    let [_, litestream] = litestreams();
    let config = stage.scene.path("litestream.yml");
    let text = format!(
        "levels: [{{interval: 1s}}, {{interval: 2s}}]\ndbs:\n  - path: {}\n    monitor-interval: 50ms\n\
         \x20   replica:\n      {{type: s3, bucket: bucket, path: app, endpoint: 'http://{}', force-path-style: true,\n\
         \x20      sync-interval: 100ms}}\n",
        stage.scene.db().display(),
        stage.server.address
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(&litestream);
    log_in(&mut command);
    command.arg("replicate").arg("-config").arg(&config);
    let replicator = Replicator::start(command, stage.scene.path("litestream-log"));
    wait_until("Litestream's first file in S3", || stage.keys().iter().any(|key| key.ends_with(".ltx")));
    let mut writer = stage.scene.writer(&["--commits", "150", "--pause", "0.02", "--stay"]);
    let commits = writer.commits();
    wait_until("a merged file in S3", || stage.keys().iter().any(|key| key.starts_with("app/0001/")));
    replicator.stop();
    writer.leave();
    let restored = stage.restored();
    assert_eq!(chain_length(&restored), commits);
    assert!(restored == stage.restored_by(&litestream).unwrap(), "{:?}", stage.keys());
    let mut command = lightship();
    log_in(&mut command);
    let listed = command.arg("ltx").arg(stage.url()).output().unwrap();
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).lines().count() > 2, "{listed:?}");
}

#[test]
fn killed_again_and_again_it_continues_in_s3() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    stage.replicate_and_wait().kill();
    let writer = stage.scene.writer(&["--autocheckpoint", "0", "--pause", "0.002"]);
    for _ in 0..setting("LIGHTSHIP_KILLS", 8) {
        let replicator = stage.replicate();
        std::thread::sleep(std::time::Duration::from_millis(fastrand::u64(100..900)));
        replicator.kill();
    }
    let attached = || {
        stage.scene.log().matches("continuing the").count() + stage.scene.log().matches("new generation db=").count()
    };
    let before = attached();
    let last = stage.replicate();
    wait_until("the last replicator to follow", || attached() > before);
    drop(writer);
    last.stop_well();
    let source = stage.scene.source();
    assert!(stage.restored() == source, "{}", stage.scene.log());
    assert!(stage.restored_by(&litestreams()[0]).unwrap() == source);
}
