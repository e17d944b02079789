//! Requests of an hour, counted on the same server for us and for both Litestreams.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::proxy::{Proxy, Request};
use super::stage::*;

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

/// What it asks for while something is committed each second, and afterwards while nothing is.
fn measure(program: &Program, seconds: u64) -> (u64, Counts, Counts) {
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
    std::thread::sleep(Duration::from_secs(2));
    let busy = counted(&proxy);
    proxy.forget();
    std::thread::sleep(Duration::from_secs(seconds));
    let idle = counted(&proxy);
    replicator.stop();
    writer.leave();
    holder.leave();
    (commits, busy, idle)
}

/// `LIGHTSHIP_HOUR_SECONDS` is for how long each of three programs is watched while busy and again while idle, and what
/// they ask for is printed for an hour; ten minutes are a good measure. Without it only we are, for a moment.
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
    for program in watched {
        let (commits, busy, idle) = measure(program, seconds);
        let an_hour = |counts: &Counts| -> BTreeMap<_, u64> {
            counts.iter().map(|(kind, count)| (*kind, *count as u64 * 3600 / seconds)).collect()
        };
        println!(
            "{}: an hour with {} commits: {:?}; idle: {:?}",
            program.name,
            commits * 3600 / seconds,
            an_hour(&busy),
            an_hour(&idle)
        );
        if program.name == "lightship" {
            assert_eq!(idle, Counts::new());
            let puts = busy["PUT"] as u64;
            // An index is finished once a minute, and is merged then.
            assert!(
                puts <= commits + 2 + seconds / 30 && busy.keys().all(|kind| *kind != "LIST"),
                "{commits}: {busy:?}"
            );
        }
    }
}
