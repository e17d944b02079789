//! Requests of an hour, counted on the same server for us and for both Litestreams.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::proxy::{Proxy, Request};
use super::stage::*;

/// Until what was begun by the last commits is done (`REST` in `ship/shipper.rs`).
const SETTLED: Duration = Duration::from_secs(160);

type Counts = BTreeMap<&'static str, usize>;

fn kind(request: &Request) -> &'static str {
    match request.method.as_str() {
        "GET" if request.is_list() || request.target.contains("?prefix") => "LIST",
        "PUT" => "PUT",
        "GET" | "HEAD" => "GET",
        _ => "DELETE",
    }
}

fn counted(proxy: &Proxy) -> Counts {
    let mut counts = Counts::new();
    proxy.requests().iter().for_each(|request| *counts.entry(kind(request)).or_default() += 1);
    counts
}

/// Who replicates, and the words of its configuration for the replica at an address.
struct Program {
    name: &'static str,
    start: fn(&Stage, std::net::SocketAddr) -> Command,
}

fn ours(stage: &Stage, _: std::net::SocketAddr) -> Command {
    stage.scene.replicate_command()
}

fn of_litestream(stage: &Stage, program: std::path::PathBuf, replica: &str) -> Command {
    let config = stage.scene.path("litestream.yml");
    std::fs::write(&config, format!("dbs:\n  - path: {}\n{replica}\n", stage.scene.db().display())).unwrap();
    let mut command = Command::new(program);
    command.arg("replicate").arg("-config").arg(config);
    command
}

fn keys(address: std::net::SocketAddr) -> String {
    format!(
        "{{type: s3, bucket: bucket, path: app, endpoint: 'http://{address}', force-path-style: true, \
         region: us-east-1, sync-interval: 1s}}"
    )
}

fn litestream_3(stage: &Stage, address: std::net::SocketAddr) -> Command {
    let replica = format!("    replicas:\n      - {}", keys(address));
    of_litestream(stage, litestream("LITESTREAM", "0.3.13"), &replica)
}

fn litestream_5(stage: &Stage, address: std::net::SocketAddr) -> Command {
    let replica = format!("    replica: {}", keys(address));
    of_litestream(stage, litestream("LITESTREAM_05", "0.5.17"), &replica)
}

/// What a program asked for.
struct Asked {
    commits: u64,
    /// While something was committed each second.
    busy: Counts,
    /// Until what was begun by the last commits was done.
    settling: Counts,
    /// Afterwards, while nothing was.
    idle: Counts,
}

fn measure(program: &Program, seconds: u64) -> Asked {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via_with(proxy.address, "sync-interval: 1s");
    let mut command = (program.start)(&stage, proxy.address);
    log_in(&mut command);
    let replicator = Replicator::start(command, stage.scene.path("log"));
    let begun = |key: &String| key.contains("/snapshots/") || key.ends_with(".ltx");
    wait_until("the first snapshot", || stage.keys().iter().any(begun));
    // The WAL is there from now on, and what belongs to the start is over.
    let holder = Writer::start(python("run_sql.py").arg(stage.scene.db()).arg("--stay").arg("SELECT * FROM chain;"));
    std::thread::sleep(Duration::from_secs(3));
    proxy.forget();
    let mut writer = stage.scene.writer(&["--seconds", &seconds.to_string(), "--pause", "1", "--stay"]);
    let commits = writer.commits();
    let counted_after = |pause: Duration| {
        std::thread::sleep(pause);
        let counts = counted(&proxy);
        proxy.forget();
        counts
    };
    let busy = counted_after(Duration::from_secs(2));
    // The last index is finished and merged when nothing has been committed for a while.
    let settling = counted_after(SETTLED.min(Duration::from_secs(seconds)));
    let idle = counted_after(Duration::from_secs(seconds));
    replicator.stop();
    writer.leave();
    holder.leave();
    Asked { commits, busy, settling, idle }
}

/// At most one request in twenty is for anything but a sync: an index is finished once a minute, which takes a request
/// for its end, one to merge it, and every other minute one to delete. Those that were begun before are given some.
fn assert_economy(asked: &Asked) {
    let Asked { commits, busy, settling, idle } = asked;
    assert!(idle.is_empty() && settling.values().sum::<usize>() <= 6, "{settling:?} {idle:?}");
    let total = busy.values().sum::<usize>() as u64;
    assert!(total <= commits + commits / 20 + 4 && !busy.contains_key("LIST"), "{commits}: {busy:?}");
}

/// `LIGHTSHIP_HOUR_SECONDS` is for how long three programs are watched side by side while busy and again while idle,
/// and what they ask for is printed for an hour; ten minutes are a good measure. Without it only we are, for a moment.
#[test]
fn requests_of_an_hour_are_those_of_the_syncs_and_none_when_idle() {
    let seconds = setting("LIGHTSHIP_HOUR_SECONDS", 0);
    let all = [
        Program { name: "lightship", start: ours },
        Program { name: "litestream 0.3.13", start: litestream_3 },
        Program { name: "litestream 0.5.17", start: litestream_5 },
    ];
    let watched = if seconds == 0 { &all[..1] } else { &all[..] };
    let seconds = seconds.max(3);
    let asked: Vec<Asked> = std::thread::scope(|scope| {
        let started: Vec<_> = watched.iter().map(|program| scope.spawn(move || measure(program, seconds))).collect();
        started.into_iter().map(|measured| measured.join().unwrap()).collect()
    });
    for (Program { name, .. }, Asked { commits, busy, settling, idle }) in watched.iter().zip(&asked) {
        let an_hour = |counts: &Counts| -> BTreeMap<_, u64> {
            counts.iter().map(|(kind, count)| (*kind, *count as u64 * 3600 / seconds)).collect()
        };
        println!("{name}, in {seconds} s: {commits} commits, {busy:?}; then {settling:?}; idle: {idle:?}");
        println!("  an hour: {} commits, {:?}; idle: {:?}", commits * 3600 / seconds, an_hour(busy), an_hour(idle));
    }
    assert_economy(&asked[0]);
}
