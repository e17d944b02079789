//! Times of files say nothing, and a clock that was stepped back does not mix up a history.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use lightship::history::Target;
use lightship::restore::{NamedBackend, RestoreRequest, Silent, restore};
use lightship::types::Timestamp;
use replica_backends::file::FileBackend;

use super::stage::{Stage, assert_is_state};

const COMMITS: u64 = 900;
const STEPPED_AT: u64 = 500;
const TWO_HOURS_MS: u64 = 2 * 3_600_000;

/// What the clock says at a commit: two hours less from one commit on.
fn clock(commit: u64) -> Timestamp {
    let back = if commit >= STEPPED_AT { TWO_HOURS_MS } else { 0 };
    Timestamp(Stage::time(commit).0 + 10 * TWO_HOURS_MS - back)
}

async fn restored(replica: &Path, output: &Path, target: Target) -> Vec<u8> {
    let backend = NamedBackend { name: "test".to_owned(), backend: Arc::new(FileBackend::new(replica)) };
    let request = RestoreRequest { target, generation: None, txid: None, output: output.to_owned(), parallelism: 8 };
    restore(&[backend], &request, &Silent).await.unwrap();
    let bytes = std::fs::read(output).unwrap();
    std::fs::remove_file(output).unwrap();
    bytes
}

fn shuffle_times(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            shuffle_times(&entry.path());
            continue;
        }
        let time = UNIX_EPOCH + Duration::from_secs(fastrand::u64(0..2_000_000_000));
        std::fs::File::options().write(true).open(entry.path()).unwrap().set_modified(time).unwrap();
    }
}

#[tokio::test]
async fn restores_are_the_same_from_a_copy_with_other_times_and_after_the_clock_was_stepped_back() {
    let mut stage = Stage::new();
    let mut running = stage.start().await;
    for commit in 1..=COMMITS {
        stage.write();
        running.settle_at(clock(commit), &AtomicBool::new(false)).await;
    }
    running.stop().await;

    let copy = stage.path("copy");
    let copied = Command::new("cp").arg("-r").arg(stage.replica()).arg(&copy).status().unwrap();
    assert!(copied.success());
    shuffle_times(&copy);

    // Before the step every commit has its own time; behind it they all have the time of the last one before it.
    let last_before = clock(STEPPED_AT - 1);
    let mut cases = vec![(Target::Latest, COMMITS), (Target::Time(last_before), COMMITS)];
    cases.push((Target::Time(Timestamp(u64::MAX / 2)), COMMITS));
    for commit in [1, 77, 300, STEPPED_AT - 2] {
        cases.push((Target::Time(Timestamp(clock(commit).0 + 500)), commit));
    }
    for (target, commit) in cases {
        let output = stage.path("restored");
        let original = restored(&stage.replica(), &output, target).await;
        assert!(original == restored(&copy, &output, target).await, "{target:?}");
        std::fs::write(&output, original).unwrap();
        assert_is_state(&output, commit);
        std::fs::remove_file(&output).unwrap();
    }
}
