//! A storm of faults between us and the store, and what is felt of it elsewhere.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::faults::assert_nothing_was_overwritten;
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

/// Half of all requests are hit, and now and then everything for a second. Rarely, an answer takes longer than is
/// waited for.
fn storm(seed: u64) -> impl FnMut(&Request) -> Fault + Send {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut burst, mut burst_end) = (None, Instant::now());
    move |request| {
        if Instant::now() > burst_end {
            burst_end = Instant::now() + Duration::from_millis(random.u64(300..1500));
            burst = if random.u8(..4) == 0 { random.choice(BURSTS) } else { None };
        }
        let passing = |random: &mut fastrand::Rng| match random.u16(..1000) {
            0 => Fault::Delay(Duration::from_secs(40)),
            1..200 => lie(request, random),
            200..500 => random.choice(FAULTS).unwrap_or(Fault::None),
            _ => Fault::None,
        };
        burst.unwrap_or_else(|| passing(&mut random))
    }
}

/// What a store may say that is not true; of a put nothing is known to be said but the truth.
fn lie(request: &Request, random: &mut fastrand::Rng) -> Fault {
    match (request.is_deletion(), request.is_list()) {
        (true, _) => Fault::LieAboutDeletion,
        (_, true) => random.choice([Fault::StaleList, Fault::ShuffledList]).unwrap_or(Fault::None),
        _ => random.choice(FAULTS).unwrap_or(Fault::None),
    }
}

/// What was seen while somebody wrote.
struct Seen {
    name: &'static str,
    took: Duration,
    commits_a_second: f64,
    /// How long ago the file replica had got its newest object, at most, and mostly.
    lag_max: Duration,
    lag_median: Duration,
    /// Of the replicator, in each half, in MB.
    memory: [u64; 2],
}

/// A writer works for `seconds`, and stays.
fn watch(name: &'static str, scene: &Scene, seconds: u64, replicator: &Replicator, number: usize) -> (Seen, Writer) {
    let (number, time) = (number.to_string(), seconds.to_string());
    let mut writer = scene.writer(&["--writer", &number, "--seconds", &time, "--pause", "0.01", "--stay"]);
    let (since, half) = (Instant::now(), Duration::from_secs(seconds) / 2);
    let (mut memory, mut lags) = ([0; 2], Vec::new());
    // It begins, and what it has written comes in, in the first moment.
    std::thread::sleep(Duration::from_millis(500));
    while since.elapsed() < half * 2 {
        let peak = &mut memory[usize::from(since.elapsed() > half)];
        *peak = replicator.resident_megabytes().max(*peak);
        lags.extend(newest(scene.replica()).and_then(|time| time.elapsed().ok()));
        std::thread::sleep(Duration::from_millis(50));
    }
    // It stops by its own clock.
    let commits_a_second = writer.commits() as f64 / seconds as f64;
    let took = since.elapsed();
    lags.sort_unstable();
    let (lag_max, lag_median) = (lags[lags.len() - 1], lags[lags.len() / 2]);
    (Seen { name, took, commits_a_second, lag_max, lag_median, memory }, writer)
}

/// When the newest segment of a file replica with one generation got its name, or an older one went.
fn newest(replica: &Path) -> Option<std::time::SystemTime> {
    let generation = fs::read_dir(replica.join("generations")).ok()?.next()?.ok()?;
    fs::metadata(generation.path().join("wal")).ok()?.modified().ok()
}

fn tell(seen: &[Seen]) {
    for Seen { name, took, commits_a_second, lag_max, lag_median, memory } in seen {
        println!(
            "{name}, {took:.1?}: {commits_a_second:.1} commits/s; the file replica's newest object was \
             {lag_median:.1?} old, at most {lag_max:.1?}; at most {memory:?} MB in each half"
        );
    }
    let calm = (seen[0].commits_a_second + seen[3].commits_a_second) / 2.0;
    let ratio = |seen: &Seen| seen.commits_a_second / calm;
    println!(
        "of the commits without it: {:.3} in the storm, {:.3} beside a dead store",
        ratio(&seen[1]),
        ratio(&seen[2])
    );
}

fn verify(url: &str) {
    let mut command = lightship();
    log_in(&mut command);
    let ended = command.args(["verify", url]).output().unwrap();
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    println!("{said}");
    assert!(ended.status.success(), "{said}");
}

/// `LIGHTSHIP_STORM_SECONDS` is how long it lasts, `LIGHTSHIP_SEED` which storm it is. What the writer and the file
/// replica feel of it is printed, beside a time without it before and after, and a time in which the store is dead.
#[test]
fn a_storm_of_faults_leaves_no_gap_and_overwrites_nothing_and_is_not_felt_by_the_replica_beside() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let beside = stage.scene.path("beside");
    stage.scene.replicas = vec![beside.clone()];
    let proxy = Proxy::before(stage.server.address);
    let keys = "sync-interval: 50ms, retention: 20s, retention-check-interval: 3s, snapshot-interval: 5s";
    let stage = stage.via_with(proxy.address, keys);
    // Whoever begins to follow asks every replica where it ends. Here that is over before the storm.
    let holder = stage.scene.writer(&["--commits", "1", "--stay"]);
    let replicator = stage.replicate_and_wait();
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 8);
    let calm = (seconds / 5).clamp(2, 60);
    let watch = |name, seconds, number| watch(name, &stage.scene, seconds, &replicator, number);
    let before = watch("before", calm, 2);
    proxy.set(storm(setting("LIGHTSHIP_SEED", 7)));
    let during = watch("storm", seconds, 3);
    proxy.set(|_| Fault::Refuse);
    let dead = watch("dead store", calm, 4);
    let live = chain_length(&read_while_live(&stage.scene));
    wait_until("the file replica to have everything", || {
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == live)
    });
    proxy.set(|_| Fault::None);
    let after = watch("after", calm, 5);
    let live = chain_length(&read_while_live(&stage.scene));
    println!("{live} commits, {} requests", proxy.requests().len());
    // Half a minute may pass with a request that was not answered, and the longest pause after that.
    let (since, ended) = (Instant::now(), Duration::from_secs(30 + 30 + seconds / 2));
    while chain_length(&stage.restored()) < live {
        assert!(since.elapsed() < ended, "the store does not catch up\n{}", stage.scene.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("the store had everything after {:.1?}", since.elapsed());
    replicator.stop_well();
    let (seen, writers): (Vec<_>, Vec<_>) = [before, during, dead, after].into_iter().unzip();
    writers.into_iter().for_each(Writer::leave);
    holder.leave();
    tell(&seen);
    assert!(seen.iter().all(|seen| seen.memory.iter().all(|peak| *peak < 64)));
    assert!(seen[1].memory[1] <= seen[1].memory[0] + 16, "{:?} MB", seen[1].memory);
    assert_both_are_whole(&stage, &beside);
    assert_nothing_was_overwritten(&proxy.requests());
}

fn assert_both_are_whole(stage: &Stage, beside: &Path) {
    let (source, log) = (stage.scene.source(), stage.scene.log());
    assert!(stage.scene.restored_from(beside, &[]).unwrap() == source, "{log}");
    assert!(stage.restored() == source, "{log}");
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == source, "{log}");
    assert!(!log.contains("CONFLICT") && log.matches("new generation db=").count() == 1, "{log}");
    // No object is missing between others.
    verify(&url(beside));
    verify(&stage.url());
}
