//! Restoring: from replicas recorded here from a real SQLite, from damaged ones, and from Litestream's own.

mod changing;
mod commands;
mod damage;
mod flags;
mod late_end;
mod litestream;
mod ltx;
mod newest;
mod recording;
mod replicas;
mod sealed;
pub mod store;
mod target;
mod unsealed;
pub mod verify;

use std::path::Path;
use std::sync::{Arc, Mutex};

use lightship::history::Target;
use lightship::restore::{NamedBackend, Progress, RestoreError, RestoreReport, RestoreRequest, restore};
use lightship::types::{Index, Offset};
use replica_backends::Backend;

/// Keeps the warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

fn request(output: &Path, target: Target) -> RestoreRequest {
    RestoreRequest { target, generation: None, txid: None, output: output.to_owned(), parallelism: 8 }
}

/// Where in its generation a restore arrived.
fn at(report: &RestoreReport) -> (Index, Offset) {
    let position = report.position().unwrap();
    (position.index, position.offset)
}

fn named(name: &str, backend: Arc<dyn Backend>) -> NamedBackend {
    NamedBackend { name: name.to_owned(), backend }
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A restore that must fail.
fn refusal(backend: Arc<dyn Backend>, target: Target) -> RestoreError {
    match restore_from(backend, target) {
        Ok((_, report)) => panic!("not refused: {report}"),
        Err(error) => error,
    }
}

/// Restores into a fresh folder, which holds nothing but the result afterwards; nothing at all after an error.
fn restore_from(backend: Arc<dyn Backend>, target: Target) -> Result<(Vec<u8>, RestoreReport), RestoreError> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.db");
    let warnings = Warnings::default();
    let result = run(restore(&[named("test", backend)], &request(&output, target), &warnings));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    match result {
        Ok(report) => {
            assert_eq!(left, ["out.db"]);
            Ok((std::fs::read(&output).unwrap(), report))
        }
        Err(error) => {
            assert!(left.is_empty(), "{left:?} left behind after: {error}");
            Err(error)
        }
    }
}
