//! A store that is away, and the replica beside it.

use std::time::Duration;

use super::proxy::{Fault, Proxy};
use super::stage::*;

/// Megabytes of memory that a process has.
fn resident_megabytes(replicator: &Replicator) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", replicator.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// With `fault` the store is dead from the beginning of the writing to its end; then it comes back.
fn a_dead_store_delays_nobody(fault: Fault) {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let mut stage = stage.via(proxy.address);
    let beside = stage.scene.path("beside");
    stage.scene.replicas = vec![beside.clone()];
    let replicator = stage.replicate_and_wait();
    proxy.set(move |_| fault);
    let mut writer = stage.scene.writer(&["--commits", "400", "--stay"]);
    // The writer itself fails at the first SQLITE_BUSY that its own patience does not cover.
    writer.commits();
    let source = chain_length(&read_while_live(&stage.scene));
    wait_until("the file replica to have everything", || {
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == source)
    });
    assert!(resident_megabytes(&replicator) < 64, "{} MB", resident_megabytes(&replicator));
    wait_until("the failure to be told", || {
        stage.scene.log().contains("cannot write to the replica") || fault == Fault::Hang
    });
    proxy.set(|_| Fault::None);
    if fault != Fault::Hang {
        replicator.wait_for("the replica can be written again");
        replicator.stop_well();
        writer.leave();
        let source = stage.scene.source();
        assert!(stage.restored() == source && stage.scene.restored_from(&beside, &[]).unwrap() == source);
    }
}

#[test]
fn a_store_that_refuses_connections_delays_nobody_and_catches_up() {
    a_dead_store_delays_nobody(Fault::Refuse);
}

#[test]
fn a_store_that_is_overloaded_delays_nobody_and_catches_up() {
    a_dead_store_delays_nobody(Fault::Status(503, "SlowDown"));
}

#[test]
fn a_store_that_never_answers_delays_nobody() {
    a_dead_store_delays_nobody(Fault::Hang);
}

#[test]
fn a_refusal_is_explained_and_a_store_that_is_away_at_the_start_is_waited_for() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    proxy.set(|_| Fault::Status(403, "InvalidAccessKeyId"));
    let replicator = stage.replicate();
    replicator.wait_for("check access-key-id");
    proxy.set(|_| Fault::None);
    wait_until("the first snapshot in S3", || stage.keys().iter().any(|key| key.contains("/snapshots/")));
    std::thread::sleep(Duration::from_millis(1));
    replicator.stop_well();
    assert!(stage.restored() == stage.scene.source());
}
