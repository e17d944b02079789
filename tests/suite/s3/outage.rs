//! A store that is away, and the replica beside it.

use std::time::Duration;

use super::faults::assert_nothing_was_overwritten;
use super::proxy::{Fault, Proxy};
use super::stage::*;

/// With `fault` the store is dead from the beginning of the writing to its end; then it comes back.
fn a_dead_store_delays_nobody(fault: Fault) {
    let (stage, proxy) = Stage::with_folder_and_proxy();
    let beside = stage.scene.replica().to_owned();
    let replicator = stage.replicate_and_wait();
    proxy.set(move |_| fault);
    let mut writer = stage.scene.writer(&["--commits", "400", "--stay"]);
    // The writer itself fails at the first SQLITE_BUSY that its own patience does not cover.
    writer.commits();
    let source = chain_length(&read_while_live(&stage.scene));
    wait_until("the file replica to have everything", || {
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == source)
    });
    assert!(replicator.resident_megabytes() < 64, "{} MB", replicator.resident_megabytes());
    wait_until("the failure to be told", || {
        stage.scene.log().contains("cannot write to the replica") || fault == Fault::Hang
    });
    proxy.set(|_| Fault::None);
    if fault != Fault::Hang {
        catches_up(&stage, replicator, writer);
    }
}

/// The store is back: it catches up, and in the end both replicas are the source, which this returns.
fn catches_up(stage: &Stage, replicator: Replicator, writer: Writer) -> Vec<u8> {
    replicator.wait_for("the replica can be written again");
    replicator.stop_well();
    writer.leave();
    let source = stage.scene.source();
    assert!(stage.restored() == source && stage.scene.restored_from(stage.scene.replica(), &[]).unwrap() == source);
    source
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

/// The stores were asked one after the other where their histories end. While one did not answer nobody followed, and
/// the replica beside it stood still.
#[test]
fn a_store_that_does_not_answer_at_the_start_keeps_nobody_waiting_for_long() {
    let (stage, proxy) = Stage::with_folder_and_proxy();
    let beside = stage.scene.replica().to_owned();
    let replicator = stage.replicate_and_wait();
    wait_until("both snapshots", || stage.scene.log().matches("snapshot written").count() == 2);
    replicator.kill();
    proxy.set(|_| Fault::Hang);
    let replicator = stage.replicate();
    let mut writer = stage.scene.writer(&["--commits", "50", "--stay"]);
    writer.commits();
    let source = chain_length(&read_while_live(&stage.scene));
    replicator.wait_for("has not answered");
    wait_until("the file replica to have everything", || {
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == source)
    });
    proxy.set(|_| Fault::None);
}

/// Nothing was backed up anywhere until every store had been read once, also where another one was ready: with a wrong
/// key, never.
#[test]
fn a_store_that_is_away_at_the_first_start_of_all_keeps_nobody_without_a_backup() {
    let (stage, proxy) = Stage::with_folder_and_proxy();
    let beside = stage.scene.replica().to_owned();
    proxy.set(|_| Fault::Status(403, "InvalidAccessKeyId"));
    let replicator = stage.replicate();
    let mut writer = stage.scene.writer(&["--commits", "50", "--stay"]);
    writer.commits();
    wait_until("the file replica to have everything", || {
        let source = chain_length(&read_while_live(&stage.scene));
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == source)
    });
    wait_until("the reason to be told", || stage.scene.status(&[]).0["replicas"][1]["failing"] == "wrong-key");
    proxy.set(|_| Fault::None);
    catches_up(&stage, replicator, writer);
}

/// Stops with everything shipped, or with something that the store lacks; begins while the store is away. Returns what
/// the replicators have said.
fn back_after_the_start(has_everything: bool) -> (Stage, String) {
    let (stage, proxy) = Stage::with_folder_and_proxy();
    let beside = stage.scene.replica().to_owned();
    let writer = |number: &str| stage.scene.writer(&["--writer", number, "--commits", "50", "--stay"]);
    let has_all = |bytes: Result<Vec<u8>, String>| {
        bytes.is_ok_and(|bytes| chain_length(&bytes) == chain_length(&read_while_live(&stage.scene)))
    };
    let mut writers = vec![writer("1")];
    let replicator = stage.replicate_and_wait();
    wait_until("both snapshots", || stage.scene.log().matches("snapshot written").count() == 2);
    if has_everything {
        replicator.stop_well();
    } else {
        proxy.set(|_| Fault::Refuse);
        writers.push(writer("2"));
        wait_until("the file replica to have everything", || has_all(stage.scene.restored_from(&beside, &[])));
        replicator.kill();
    }
    proxy.set(|_| Fault::Refuse);
    let replicator = stage.replicate();
    wait_for_of_start(&stage.scene, 2, "cannot read the replica");
    writers.push(writer("3"));
    wait_until("the file replica to have everything", || has_all(stage.scene.restored_from(&beside, &[])));
    let (answer, _) = stage.scene.status(&[]);
    assert_ne!(answer["replicas"][1]["state"], "following", "nothing is known of the store: {answer:#}");
    proxy.set(|_| Fault::None);
    wait_until("the store to have everything", || has_all(stage.restored_by(lightship().get_program().as_ref())));
    replicator.stop_well();
    writers.into_iter().for_each(Writer::leave);
    let (log, source) = (stage.scene.log(), stage.scene.source());
    assert!(stage.restored() == source && stage.scene.restored_from(&beside, &[]).unwrap() == source, "{log}");
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == source, "{log}");
    assert!(log.matches("new generation db=").count() == 1 && !log.contains("CONFLICT"), "{log}");
    assert_nothing_was_overwritten(&proxy.requests());
    (stage, log)
}

#[test]
fn a_store_that_is_away_at_the_start_and_has_everything_goes_on_where_it_ended() {
    let (stage, log) = back_after_the_start(true);
    assert!(log.contains("its history ends where the others do"), "{log}");
    assert_eq!(stage.keys().iter().filter(|key| key.contains("/snapshots/")).count(), 1, "{log}");
}

#[test]
fn a_store_that_is_away_at_the_start_and_lacks_something_gets_a_snapshot() {
    let (stage, log) = back_after_the_start(false);
    assert!(log.contains("its history does not end where the others do"), "{log}");
    assert_eq!(stage.keys().iter().filter(|key| key.contains("/snapshots/")).count(), 2, "{log}");
}

/// The store is dead for much longer than the WAL may grow: it is given up, and gets a snapshot when it is back.
///
/// `LIGHTSHIP_OUTAGE_COMMITS` is for how many commits; 75,000 write about 2 GB.
#[test]
fn a_store_that_is_dead_for_long_costs_a_bounded_wal_and_bounded_memory_and_catches_up() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "max-wal-mib: 16\ncheckpoint-interval: 1s".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let beside = stage.scene.path("beside");
    let commits = setting("LIGHTSHIP_OUTAGE_COMMITS", 3000);
    stage.scene.replicas = vec![beside.clone()];
    let stage = stage.via(proxy.address);
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--commits", &commits.to_string(), "--pause", "0.002", "--stay"]);
    proxy.set(|_| Fault::Refuse);
    let wal = stage.scene.path("app.db-wal");
    let ended = std::sync::atomic::AtomicBool::new(false);
    let (mut wal_max, mut memory_max) = (0, 0);
    std::thread::scope(|scope| {
        // The writer fails at the first SQLITE_BUSY that its own patience does not cover.
        scope.spawn(|| {
            writer.commits();
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            wal_max = std::fs::metadata(&wal).map_or(0, |file| file.len() >> 20).max(wal_max);
            memory_max = replicator.resident_megabytes().max(memory_max);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    println!("the WAL had at most {wal_max} MiB, the replicator {memory_max} MB");
    assert!(memory_max < 64, "{memory_max} MB");
    // Twice the cap, for a snapshot may be waited for as long again, and what is written until that is noticed. In the
    // end some 80 MiB have gone through it.
    assert!(wal_max <= 56, "{wal_max} MiB\n{}", stage.scene.log());
    replicator.wait_for("the WAL has reached its cap");
    proxy.set(|_| Fault::None);
    let source = catches_up(&stage, replicator, writer);
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == source);
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
