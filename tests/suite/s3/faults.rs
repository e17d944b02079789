//! Faults between us and the store.

use std::collections::BTreeMap;

use super::proxy::{Fault, Proxy, Request};
use super::stage::*;

/// Nothing that the store had said yes to was created a second time. What is merged is put over the first of its
/// segments, without a condition.
pub fn assert_nothing_was_overwritten(requests: &[Request]) {
    let mut created: BTreeMap<&str, u32> = BTreeMap::new();
    let is_whole = |request: &Request| request.is_object_put() || request.completes_object();
    let is_created = |request: &&Request| is_whole(request) && request.conditional && request.status == Some(200);
    for request in requests.iter().filter(is_created) {
        *created.entry(request.path()).or_default() += 1;
    }
    let twice: Vec<_> = created.iter().filter(|(_, count)| **count > 1).collect();
    assert!(!created.is_empty() && twice.is_empty(), "{twice:?}");
    let put_over = requests.iter().filter(|request| is_whole(request) && !request.conditional);
    let unknown: Vec<_> = put_over.filter(|request| !created.contains_key(request.path())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn assert_nothing_was_put_twice(requests: &[Request]) {
    let stored = requests.iter().filter(|request| request.is_object_put() && request.status == Some(200));
    let mut targets: Vec<_> = stored.map(|request| &request.target).collect();
    let puts = targets.len();
    targets.sort_unstable();
    targets.dedup();
    assert!(puts > 0 && puts == targets.len(), "{requests:?}");
}

/// A put is stored and its answer lost: what is there is read, and known to be ours.
#[test]
fn a_put_whose_answer_is_lost_is_recognised() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    let mut count = 0;
    proxy.set(move |request| {
        count += u32::from(request.is_object_put());
        if request.is_object_put() && count % 2 == 1 { Fault::LoseReply } else { Fault::None }
    });
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--commits", "40", "--pause", "0.05", "--stay"]);
    writer.commits();
    replicator.stop_well();
    writer.leave();
    let log = stage.scene.log();
    assert!(stage.restored() == stage.scene.source(), "{log}");
    assert!(!log.contains("CONFLICT"), "{log}");
    let requests = proxy.requests();
    assert_nothing_was_overwritten(&requests);
    assert!(requests.iter().any(|request| request.is_object_put() && request.status == Some(412)), "{requests:?}");
}

/// Some stores answer 200 to a conditional put, and overwrite.
#[test]
fn a_store_that_ignores_conditions_is_found_out_and_looked_at_first() {
    let mut stage = Stage::new();
    // Without merging nothing is ever to be replaced.
    stage.scene.database_keys = "min-checkpoint-page-count: 50\nmerge-intervals: []".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    proxy.set(|_| Fault::IgnoreCondition);
    let replicator = stage.replicate_and_wait();
    replicator.wait_for("this store replaces objects even if it is told not to");
    let mut writer = stage.scene.writer(&["--commits", "60", "--pause", "0.02", "--stay"]);
    writer.commits();
    replicator.stop_well();
    let replicator = stage.replicate();
    wait_for_of_start(&stage.scene, 2, "continuing the generation");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
    assert_nothing_was_put_twice(&proxy.requests());
}
