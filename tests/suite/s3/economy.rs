//! What is paid for by the request is counted where it arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proxy::Proxy;
use super::stage::*;

fn by_method(proxy: &Proxy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in proxy.requests() {
        *counts.entry(request.method).or_default() += 1;
    }
    counts
}

#[test]
fn an_idle_database_costs_nothing_and_a_busy_one_a_put_for_each_object() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    let replicator = stage.replicate_and_wait();
    replicator.wait_for("snapshot written");
    let start = by_method(&proxy);
    // One listing of the generations, the first probe, and the snapshot.
    assert!(start["GET"] <= 3 && start["PUT"] <= 4, "{start:?}");

    proxy.forget();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(by_method(&proxy), BTreeMap::new(), "an idle database");

    let before = stage.keys().len();
    let mut writer = stage.scene.writer(&["--commits", "60", "--pause", "0.05", "--stay"]);
    writer.commits();
    replicator.stop_well();
    writer.leave();
    let objects = stage.keys().len() - before;
    assert_eq!(by_method(&proxy), BTreeMap::from([("PUT".to_owned(), objects)]), "a busy database");
    assert!(objects < 60, "the sync-interval gathers commits: {objects} objects");
    assert!(stage.restored() == stage.scene.source());
}
