//! Seeds in several processes: one has one thread, and one order of events.

use std::process::Command;
use std::sync::Mutex;

/// So many seeds are run by one process.
const AT_ONCE: usize = 50;

/// Runs `seeds`, which are consecutive, in so many processes at a time. Returns those that fail.
pub fn run_all(seeds: &[u64], processes: u64) -> Vec<u64> {
    let (waiting, failed) = (Mutex::new(seeds.chunks(AT_ONCE)), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..processes {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(seeds) = next else { return };
                    failed.lock().unwrap().extend(run_in_a_process(seeds));
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    failed
}

fn run_in_a_process(seeds: &[u64]) -> Vec<u64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "whatever_happens"]).env_remove("LIGHTSHIP_PROCESSES");
    command.env("LIGHTSHIP_SEED", seeds[0].to_string()).env("LIGHTSHIP_SEEDS", seeds.len().to_string());
    let ended = command.output().unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    println!("seeds {} to {}: {}", seeds[0], seeds[seeds.len() - 1], ended.status);
    if ended.status.success() {
        return Vec::new();
    }
    let named = text.lines().filter_map(|line| line.strip_prefix("seed ")?.split_once(':')?.0.parse().ok());
    let named: Vec<u64> = named.collect();
    println!("{text}\n{}", String::from_utf8_lossy(&ended.stderr));
    // One that ends the process names itself no more.
    if named.is_empty() { seeds.to_vec() } else { named }
}
