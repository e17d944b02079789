//! What is paid for by the request is counted where it arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proxy::{Proxy, Request};
use super::stage::*;

fn by_method(proxy: &Proxy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in proxy.requests() {
        *counts.entry(request.method).or_default() += 1;
    }
    counts
}

fn count(requests: &[Request], is_meant: impl Fn(&Request) -> bool) -> usize {
    requests.iter().filter(|request| is_meant(request)).count()
}

#[test]
fn an_idle_database_costs_nothing_and_a_busy_one_a_put_for_each_sync_and_two_requests_for_each_index() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 250".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via_with(proxy.address, "sync-interval: 10ms");
    // An application that is there and does nothing.
    let holder = Writer::start(python("run_sql.py").arg(stage.scene.db()).arg("--stay").arg("SELECT * FROM chain;"));
    let replicator = stage.replicate_and_wait();
    replicator.wait_for("DEBUG stored");
    let start = by_method(&proxy);
    // The generations, once more before the new one begins; what it has, before the snapshot and behind it; the first
    // probe, and the snapshot.
    assert!(start["GET"] <= 7 && start["PUT"] <= 4, "{start:?}");

    proxy.forget();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(by_method(&proxy), BTreeMap::new(), "an idle database");

    let mut writer = stage.scene.writer(&["--commits", "250", "--pause", "0.01", "--autocheckpoint", "0", "--stay"]);
    writer.commits();
    replicator.stop_well();
    writer.leave();
    holder.leave();
    let requests = proxy.requests();
    let syncs = count(&requests, |request| request.is_object_put() && request.conditional);
    let indexes = stage.scene.log().matches("segments merged").count();
    let merges = count(&requests, |request| request.is_object_put() && !request.conditional);
    let deletes = count(&requests, |request| request.method == "POST" && request.target.ends_with("?delete"));
    println!("{syncs} syncs, {merges} merges, {deletes} deletes; by method {:?}", by_method(&proxy));
    assert!(indexes > 2 && merges == indexes && deletes <= merges / 2 + 3, "{}", stage.scene.log());
    let others: Vec<_> = requests.iter().filter(|request| !matches!(request.method.as_str(), "PUT" | "POST")).collect();
    assert_eq!(requests.len(), syncs + merges + deletes, "{others:?}");
    assert!(stage.restored() == stage.scene.source());
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == stage.scene.source());
}

/// Snapshots, segments of finished indexes, what was merged: all of it is deleted there when its time has come.
#[test]
fn merging_and_retention_leave_few_objects_in_the_bucket() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let address = stage.server.address;
    let keys = "sync-interval: 10ms, retention: 2s, retention-check-interval: 1s, snapshot-interval: 1s";
    let stage = stage.via_with(address, keys);
    let replicator = stage.replicate_and_wait();
    let first = stage.keys().into_iter().find(|key| key.contains("/snapshots/")).unwrap();
    let mut writer = stage.scene.writer(&["--seconds", "6", "--pause", "0.01", "--stay"]);
    let commits = writer.commits();
    wait_until("the first snapshot to be deleted", || !stage.keys().contains(&first));
    replicator.wait_for("deleted what the retention does not keep");
    replicator.stop_well();
    writer.leave();
    let (log, keys) = (stage.scene.log(), stage.keys());
    assert!(log.contains("segments merged"), "{log}");
    assert!(!log.contains("ERROR") && !log.contains(" WARN "), "{log}");
    assert!((keys.len() as u64) < commits / 2, "{} objects after {commits} commits: {keys:?}", keys.len());
    assert!(stage.restored() == stage.scene.source());
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == stage.scene.source());
}

/// What falls due is looked at here, and asked of the store only if something has changed.
#[test]
fn an_idle_database_gets_no_second_snapshot_and_is_not_looked_at() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let keys = "snapshot-interval: 300ms, retention: 1s, retention-check-interval: 300ms";
    let stage = stage.via_with(proxy.address, keys);
    let app = stage.scene.writer(&["--commits", "1", "--stay"]);
    let replicator = stage.replicate_and_wait();
    replicator.wait_for("snapshot written");
    let snapshots = || stage.keys().iter().filter(|key| key.contains("/snapshots/")).count();
    let first = snapshots();
    // Until what was shipped has been looked at.
    std::thread::sleep(Duration::from_secs(2));
    proxy.forget();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(by_method(&proxy), BTreeMap::new(), "{:?}\n{}", proxy.requests(), stage.scene.log());
    assert!(snapshots() <= first + 1);
    replicator.stop_well();
    drop(app);
}
