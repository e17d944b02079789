//! Storms of faults between us and the store.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proxy::{Fault, Proxy, Request};
use super::stage::*;

const FAULTS: [Fault; 9] = [
    Fault::Refuse,
    Fault::Status(503, "SlowDown"),
    Fault::Status(500, "InternalError"),
    Fault::Status(429, "TooManyRequests"),
    Fault::Status(409, "ConditionalRequestConflict"),
    Fault::LoseReply,
    Fault::CutReply(20),
    Fault::CutReply(400),
    Fault::Delay(Duration::from_millis(150)),
];

/// Nothing that the store has said yes to was put a second time.
fn assert_nothing_was_overwritten(requests: &[Request]) {
    let mut stored: BTreeMap<&str, u32> = BTreeMap::new();
    for request in requests.iter().filter(|request| request.is_object_put() && request.status == Some(200)) {
        *stored.entry(&request.target).or_default() += 1;
    }
    let twice: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
    assert!(!stored.is_empty() && twice.is_empty(), "{twice:?}");
}

/// Half of all requests are hit while a writer writes.
#[test]
fn a_storm_of_faults_leaves_no_gap_and_overwrites_nothing() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    let mut random = fastrand::Rng::with_seed(setting("LIGHTSHIP_SEED", 7));
    proxy.set(move |_| if random.bool() { random.choice(FAULTS).unwrap_or(Fault::None) } else { Fault::None });
    let replicator = stage.replicate_and_wait();
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 6).to_string();
    let mut writer = stage.scene.writer(&["--seconds", &seconds, "--pause", "0.01", "--stay"]);
    writer.commits();
    proxy.set(|_| Fault::None);
    replicator.stop_well();
    writer.leave();
    let source = stage.scene.source();
    let log = stage.scene.log();
    assert!(stage.restored() == source, "{log}");
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == source, "{log}");
    assert!(!log.contains("CONFLICT"), "{log}");
    assert_nothing_was_overwritten(&proxy.requests());
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
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    proxy.set(|_| Fault::IgnoreCondition);
    let replicator = stage.replicate_and_wait();
    replicator.wait_for("this store replaces objects even if it is told not to");
    let mut writer = stage.scene.writer(&["--commits", "60", "--pause", "0.02", "--stay"]);
    writer.commits();
    replicator.stop_well();
    let replicator = stage.replicate();
    replicator.wait_for("continuing the generation");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
    assert_nothing_was_overwritten(&proxy.requests());
}
