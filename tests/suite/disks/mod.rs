//! Disks that fail, lie, lose their power, or are slow: under the replica, under the state folder, and under the
//! database.

mod backlog;
mod errors;
mod full;
mod power;
mod slow;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::follow::scene::*;

/// Makes the library that `LD_PRELOAD` puts between a program and its disks.
fn faulty_disk(folder: &Path) -> PathBuf {
    let (source, library) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder.join("faulty_disk.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source.join("tests/support/faulty_disk.c"));
    let ended = compiler.arg("-ldl").output().unwrap();
    assert!(ended.status.success(), "{compiler:?}\n{}", String::from_utf8_lossy(&ended.stderr));
    library
}

/// Where the last commit is that a log reports as stored.
fn reported(log: &str) -> Option<String> {
    let (_, position) = log.lines().rfind(|line| line.contains(" stored db="))?.split_once("position=")?;
    Some(position.split_whitespace().next()?.to_owned())
}

/// Nobody replicates: the replica is the source, for us and for the real Litestream.
fn assert_restores(scene: &Scene, log: &str) {
    let (source, ours) = (scene.source(), scene.restored_from(scene.replica(), &[]));
    assert!(source == ours.unwrap_or_else(|error| panic!("{error}\n{log}")), "the replica is not the source\n{log}");
    let theirs = scene.restored_by(&litestream("LITESTREAM", "0.3.13"), scene.replica()).unwrap();
    assert!(source == theirs, "Litestream restores something else\n{log}");
    assert!(chain_length(&source) > 0);
}
