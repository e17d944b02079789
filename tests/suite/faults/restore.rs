//! A restore that is killed: the target is not there, or it is whole.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use super::stage::*;
use crate::follow::scene::*;
use crate::follow::writers::replicate_and_follow;

/// Steps of a restore, in their order.
pub const RESTORING: [&str; 7] = [
    "restore-staged",
    "restore-applying",
    "restore-applied",
    "restore-moved-aside",
    "restore-publishing",
    "restore-renamed",
    "restore-published",
];
/// From this one on the target has its name.
const RENAMED: usize = 5;
/// Steps of writing the page hashes afterwards.
const KEEPING: [&str; 3] = ["pages-created", "pages-staged", "pages-renamed"];

#[test]
fn killed_at_any_step_of_a_restore_it_leaves_no_target_or_the_whole_one() {
    let scene = Scene::with_chain(1024);
    let replicator = replicate_and_follow(&scene);
    scene.writer(&["--commits", "300"]).leave();
    replicator.stop_well();
    let source = scene.source();
    for place in RESTORING.into_iter().chain(KEEPING) {
        for (number, suffix) in ["-wal", "-shm", "-journal"].into_iter().enumerate() {
            let output = scene.path(&format!("{place}-{number}.db"));
            // What an earlier database has left, and must not be replayed into this one.
            let stale = scene.path(&format!("{place}-{number}.db{suffix}"));
            fs::write(&stale, fs::read(scene.db()).unwrap()).unwrap();
            let restore = || {
                let mut command = lightship();
                command.arg("restore").arg("-o").arg(&output).arg(url(scene.replica()));
                command
            };
            let died = deadly(restore(), place, 1).output().unwrap();
            assert_eq!(died.status.signal(), Some(9), "{place}: {}", String::from_utf8_lossy(&died.stderr));
            let reached = RESTORING.iter().position(|step| *step == place).unwrap_or(RESTORING.len());
            assert_eq!(output.exists(), reached >= RENAMED, "{place}");
            if !output.exists() {
                let again = restore().output().unwrap();
                assert!(again.status.success(), "{place}: {}", String::from_utf8_lossy(&again.stderr));
            }
            assert!(fs::read(&output).unwrap() == source, "{place}: the target is not whole");
            assert!(!stale.exists(), "{place}: {} lies beside the target", stale.display());
        }
    }
}
