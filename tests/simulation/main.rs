//! The real code of following, shipping, merging, retention and restoring, on one thread and in a time of its own:
//! what an application, its machine and its stores do, and in which order, is decided by a seed.
//!
//! `LIGHTSHIP_SEEDS=10000 LIGHTSHIP_PROCESSES=2 cargo nextest run --profile long --test simulation whatever_happens`
//! runs so many seeds, in two processes (with `LIGHTSHIP_SEED=4711` from this one on); `LIGHTSHIP_SEED=4711` alone
//! replays one, and `LIGHTSHIP_TRACE=1` shows all that happens in it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod app;
mod check;
mod machine;
mod oracle;
mod overlap;
mod power;
mod presence;
mod processes;
mod replicator;
mod sql;
mod store;
mod time;
mod trace;
mod world;

use world::{HARM_FROM, RARE_FROM, Violation, run};

/// Without a setting: from this one on, as many as take some seconds.
const FIRST_SEED: u64 = 1;
const SEEDS: u64 = 30;
const HARMFUL: u64 = 10;
const RARE: u64 = 8;
/// Seeds that have found something, and are no longer among the first.
const FOUND: [u64; 34] = [
    44, 80, 129, 135, 138, 263, 271, 284, 295, 300, 428, 507, 592, 1048, 1053, 1084, 1243, 2043, 2070, 2245, 6515,
    12839, 16175, 17436, 20131, 20680, 35348, 40891, 43177, 46522, 46807, 47414, 47656, 48407,
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

fn describe(seed: u64, violation: &Violation) -> String {
    let Violation { what, trace } = violation;
    format!(
        "{}\n\nseed {seed}: {what}\nreplay: LIGHTSHIP_SEED={seed} cargo nextest run --test simulation whatever_happens",
        trace.tail()
    )
}

#[test]
fn whatever_happens_everything_that_was_shipped_is_restored() {
    let seeds: Vec<u64> = match (number("LIGHTSHIP_SEED"), number("LIGHTSHIP_SEEDS")) {
        (None, None) => (FIRST_SEED..FIRST_SEED + SEEDS)
            .chain(FOUND)
            .chain(HARM_FROM..HARM_FROM + HARMFUL)
            .chain(RARE_FROM..RARE_FROM + RARE)
            .collect(),
        (Some(seed), count) => (seed..seed + count.unwrap_or(1)).collect(),
        (None, Some(count)) => (FIRST_SEED..FIRST_SEED + count).collect(),
    };
    let failed = match number("LIGHTSHIP_PROCESSES") {
        Some(processes) => processes::run_all(&seeds, processes),
        None => run_all(&seeds),
    };
    assert!(failed.is_empty(), "{} of {} seeds: {failed:?}", failed.len(), seeds.len());
}

/// Runs `seeds`, and returns those that fail.
fn run_all(seeds: &[u64]) -> Vec<u64> {
    let mut failed = Vec::new();
    for &seed in seeds {
        match run(seed) {
            Ok(trace) if seeds.len() == 1 && std::env::var_os("LIGHTSHIP_TRACE").is_some() => {
                println!("{}", trace.tail());
            }
            Ok(_) => {}
            Err(violation) => {
                println!("{}\n", describe(seed, &violation));
                failed.push(seed);
            }
        }
    }
    failed
}

/// Of each kind of world some, also those of later seeds; and what must befall one of them.
const REPEATED: [u64; 9] = [3, 4, 11, 30, 263, 1004, 1007, 1053, 100_001];
const BEFALLS: [&str; 7] = [
    "the power is cut",
    "another machine begins with a copy of the disk, and this one goes on",
    "the older machine is killed",
    "the older machine has stopped",
    "the state folder is lost",
    "the application goes on with what is restored",
    "BEGIN IMMEDIATE; CREATE TABLE",
];

#[test]
fn a_seed_decides_everything() {
    let mut all = Vec::new();
    for seed in REPEATED {
        let trace = || run(seed).map_or_else(|violation| violation.trace.lines(), |trace| trace.lines());
        let (first, second) = (trace(), trace());
        let differ = first.iter().zip(&second).position(|(first, second)| first != second);
        if let Some(at) = differ {
            panic!("seed {seed}, step {at}:\n{}\n{}", first[at], second[at]);
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
        all.extend(first);
    }
    for what in BEFALLS {
        assert!(all.iter().any(|line| line.contains(what)), "no world in which {what:?}");
    }
}
