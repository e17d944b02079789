//! Storms of faults between us and the store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::proxy::{Fault, Proxy, Request};
use super::stage::*;

const FAULTS: [Fault; 11] = [
    Fault::Refuse,
    Fault::Reset(0),
    Fault::Reset(700),
    Fault::Status(503, "SlowDown"),
    Fault::Status(500, "InternalError"),
    Fault::Status(429, "TooManyRequests"),
    Fault::Status(409, "ConditionalRequestConflict"),
    Fault::LoseReply,
    Fault::CutReply(20),
    Fault::CutReply(400),
    Fault::Delay(Duration::from_millis(150)),
];

/// What befalls everything for a while.
const BURSTS: [Fault; 3] = [Fault::Status(503, "SlowDown"), Fault::Status(500, "InternalError"), Fault::Refuse];

/// Nothing that the store had said yes to was created a second time. What is merged is put over the first of its
/// segments, without a condition.
pub fn assert_nothing_was_overwritten(requests: &[Request]) {
    let mut created: BTreeMap<&str, u32> = BTreeMap::new();
    let is_created = |request: &&Request| request.is_object_put() && request.conditional && request.status == Some(200);
    for request in requests.iter().filter(is_created) {
        *created.entry(&request.target).or_default() += 1;
    }
    let twice: Vec<_> = created.iter().filter(|(_, count)| **count > 1).collect();
    assert!(!created.is_empty() && twice.is_empty(), "{twice:?}");
    let put_over = requests.iter().filter(|request| request.is_object_put() && !request.conditional);
    let unknown: Vec<_> = put_over.filter(|request| !created.contains_key(request.target.as_str())).collect();
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

/// Half of all requests are hit, and now and then everything for a second. Rarely, an answer takes longer than is
/// waited for.
fn storm(seed: u64) -> impl FnMut(&Request) -> Fault + Send {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut burst, mut burst_end) = (None, Instant::now());
    move |_| {
        if Instant::now() > burst_end {
            burst_end = Instant::now() + Duration::from_millis(random.u64(300..1500));
            burst = if random.u8(..4) == 0 { random.choice(BURSTS) } else { None };
        }
        let passing = |random: &mut fastrand::Rng| match random.u16(..1000) {
            0 => Fault::Delay(Duration::from_secs(40)),
            1..500 => random.choice(FAULTS).unwrap_or(Fault::None),
            _ => Fault::None,
        };
        burst.unwrap_or_else(|| passing(&mut random))
    }
}

/// `LIGHTSHIP_STORM_SECONDS` is how long it lasts, `LIGHTSHIP_SEED` which storm it is.
#[test]
fn a_storm_of_faults_leaves_no_gap_and_overwrites_nothing_and_is_not_felt_by_the_replica_beside() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let beside = stage.scene.path("beside");
    stage.scene.replicas = vec![beside.clone()];
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via_with(proxy.address, "sync-interval: 50ms");
    // Whoever begins to follow asks every replica where it ends. Here that is over before the storm.
    let holder = stage.scene.writer(&["--commits", "1", "--stay"]);
    let replicator = stage.replicate_and_wait();
    proxy.set(storm(setting("LIGHTSHIP_SEED", 7)));
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 8);
    let half = Duration::from_secs(seconds) / 2;
    let mut writer =
        stage.scene.writer(&["--writer", "2", "--seconds", &seconds.to_string(), "--pause", "0.01", "--stay"]);
    let mut peaks = [0; 2];
    for peak in &mut peaks {
        let since = Instant::now();
        while since.elapsed() < half {
            *peak = resident_megabytes(&replicator).max(*peak);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let commits = writer.commits();
    let source = chain_length(&read_while_live(&stage.scene));
    wait_until("the file replica to have everything", || {
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == source)
    });
    proxy.set(|_| Fault::None);
    println!("{commits} commits, {} requests, at most {peaks:?} MB in each half", proxy.requests().len());
    // Half a minute may pass with a request that was not answered, and the longest pause after that.
    let (since, ended) = (Instant::now(), Duration::from_secs(30 + 30) + half);
    while chain_length(&stage.restored()) < source {
        assert!(since.elapsed() < ended, "the store does not catch up\n{}", stage.scene.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("the store had everything after {:?}", since.elapsed());
    replicator.stop_well();
    writer.leave();
    holder.leave();
    let requests = proxy.requests();
    assert!(peaks[1] < 64 && peaks[1] <= peaks[0] + 16, "{peaks:?} MB");
    let source = stage.scene.source();
    let log = stage.scene.log();
    assert!(stage.scene.restored_from(&beside, &[]).unwrap() == source, "{log}");
    assert!(stage.restored() == source, "{log}");
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == source, "{log}");
    assert!(!log.contains("CONFLICT") && log.matches("new generation db=").count() == 1, "{log}");
    assert_nothing_was_overwritten(&requests);
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
