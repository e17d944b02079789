//! History that merges: the same states from fewer objects.

mod burst;
mod clock;
mod damage;
mod day;
mod kills;
mod leftovers;
mod processes;
mod silence;
mod stage;
mod verify;
mod year;

use crate::follow::scene::{litestream, setting, url};
use stage::{Stage, assert_is_state};

/// What the real 0.3.13 makes of the replica as it is.
fn assert_litestream_restores(stage: &Stage, commit: u64) {
    let output = stage.replica().with_file_name(format!("litestream-{}", fastrand::u64(..)));
    let mut command = std::process::Command::new(litestream("LITESTREAM", "0.3.13"));
    let ended = command.arg("restore").arg("-o").arg(&output).arg(url(&stage.replica())).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_is_state(&output, commit);
    std::fs::remove_file(output).unwrap();
}
