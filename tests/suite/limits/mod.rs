//! What is larger than usual, belongs to somebody else, or lies where a database should not.

mod elsewhere;
mod large;
mod users;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::follow::scene::*;

/// Runs `command`, which must succeed.
fn run(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
}

/// Restores to a file and compares that with the source, whatever their size; with our own program, then with the real
/// Litestream. Nobody replicates or writes, and the source is gone afterwards: it may be large.
fn assert_restores(scene: &Scene, ours: Command) {
    scene.sql(Shell::Python, "PRAGMA wal_checkpoint(TRUNCATE);");
    let hash = |path: &Path| run(Command::new("sha256sum").arg(path))[..64].to_owned();
    let source = hash(&scene.db());
    std::fs::remove_file(scene.db()).unwrap();
    let restored: PathBuf = scene.path("restored-here");
    for mut program in [ours, Command::new(litestream("LITESTREAM", "0.3.13"))] {
        run(program.arg("restore").arg("-o").arg(&restored).arg(url(scene.replica())));
        assert_eq!(hash(&restored), source, "{program:?}\n{}", scene.log());
        std::fs::remove_file(&restored).unwrap();
    }
}

/// The size of a file in MiB.
fn mib(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.size() >> 20)
}
