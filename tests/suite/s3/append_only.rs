//! A bucket whose policy lets nobody delete or overwrite.

use std::sync::{Arc, Mutex};

use super::proxy::{Fault, Proxy};
use super::stage::*;

/// Not only is nothing refused that is needed: nothing that the policy forbids is even asked for.
#[test]
fn append_only_replica_asks_for_nothing_that_deletes_or_overwrites() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let keys = "append-only: true, sync-interval: 10ms, retention: 1s, retention-check-interval: 200ms, \
                snapshot-interval: 1s";
    let mut stage = stage.via_with(proxy.address, keys);
    stage.scene.database_keys =
        "min-checkpoint-page-count: 40\ncheckpoint-interval: 100ms\nmerge-intervals: [200ms, 1s, 3s]".to_owned();
    let forbidden = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&forbidden);
    proxy.set(move |request| {
        let is_allowed = match request.method.as_str() {
            "GET" | "HEAD" => true,
            "PUT" => request.conditional,
            _ => false,
        };
        if is_allowed {
            return Fault::None;
        }
        asked.lock().unwrap().push(format!("{} {}", request.method, request.target));
        Fault::Status(403, "AccessDenied")
    });
    for _ in 0..3 {
        let replicator = stage.replicate_and_wait();
        let mut writer = stage.scene.writer(&["--commits", "120", "--pause", "0.005", "--stay"]);
        writer.commits();
        replicator.stop_well();
        writer.leave();
    }
    assert_eq!(*forbidden.lock().unwrap(), Vec::<String>::new(), "{}", stage.scene.log());
    assert!(stage.keys().iter().any(|key| key.contains("lightship/ranges/")), "{}", stage.scene.log());
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
}
