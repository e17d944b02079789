//! The file driver passes the suite, bare and under every layer.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::run;
use crate::file::FileBackend;
use crate::layers::{Fault, Faulty, Meter, Retry, RetryPolicy};
use crate::{Backend, ErrorKind, Operation};

/// Runs the suite on stacks that `stack` builds on file drivers, each in a new folder of its own in `parent`.
async fn run_on_files(parent: &Path, stack: impl Fn(Arc<dyn Backend>) -> Arc<dyn Backend>) {
    let folder = tempfile::tempdir_in(parent).unwrap();
    let count = Mutex::new(0);
    let make = async || {
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        stack(Arc::new(FileBackend::new(folder.path().join(format!("root-{number}")))))
    };
    run(make).await;
}

/// Where a sync costs nothing, if there is such a place: the layers are under test here, not the disk.
fn memory() -> std::path::PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() }
}

fn patient() -> RetryPolicy {
    let (initial, max) = (Duration::from_millis(1), Duration::from_millis(20));
    RetryPolicy { attempts_max: 50, initial, max, budget: Duration::from_secs(600) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_backend_passes() {
    run_on_files(&std::env::temp_dir(), |file| file).await;
}

#[tokio::test]
async fn the_file_backend_passes_on_one_thread() {
    run_on_files(&memory(), |file| file).await;
}

#[tokio::test]
async fn a_meter_passes() {
    run_on_files(&memory(), |file| Arc::new(Meter::new(file))).await;
}

#[tokio::test]
async fn a_retry_passes() {
    run_on_files(&memory(), |file| Arc::new(Retry::new(file, patient()))).await;
}

#[tokio::test]
async fn a_faulty_without_faults_passes() {
    run_on_files(&memory(), |file| Arc::new(Faulty::new(file, |_| None))).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_over_transient_faults_passes() {
    run_on_files(&memory(), |file| {
        let seen = Mutex::new(HashSet::new());
        // The first request of each kind on each key fails. Puts fail before they are carried out: one whose answer
        // is lost comes back as AlreadyExists, which is right and is not what the suite asks for.
        let faulty = Faulty::new(file, move |call| {
            let is_first = seen.lock().unwrap().insert((call.operation.to_string(), call.key.to_owned()));
            let fault = match call.operation {
                Operation::Put => Fault::Before(ErrorKind::Full),
                Operation::Delete => Fault::After(ErrorKind::Unavailable),
                _ if call.number % 2 == 0 => Fault::After(ErrorKind::PermissionDenied),
                _ => Fault::Before(ErrorKind::Unavailable),
            };
            is_first.then_some(fault)
        });
        Arc::new(Meter::new(Arc::new(Retry::new(Arc::new(faulty), patient()))))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_over_a_store_that_fails_one_time_in_three_passes() {
    run_on_files(&memory(), |file| {
        let faults = vec![
            Fault::Before(ErrorKind::Unavailable),
            Fault::Before(ErrorKind::Full),
            Fault::Delay(Duration::from_millis(5)),
        ];
        Arc::new(Retry::new(Arc::new(Faulty::seeded(file, 42, 3, faults)), patient()))
    })
    .await;
}
