//! Merging, as real replicators do it.

use std::time::Duration;

use crate::follow::scene::*;

/// Replicators are killed again and again while they merge. Whatever they leave, our restore and the real Litestream's
/// have everything that was shipped, and the last replicator tidies up.
#[test]
fn whatever_a_killed_merge_leaves_the_latest_state_is_restored() {
    let mut scene = Scene::with_chain(1024);
    scene.database_keys = "min-checkpoint-page-count: 200\nmerge-intervals: [200ms, 1s, 3s]".to_owned();
    let litestream = litestream("LITESTREAM", "0.3.13");
    let mut commits = 0;
    for round in 0..setting("LIGHTSHIP_MERGE_KILLS", 6) {
        let replicator = scene.replicate();
        let end = ["--commits", "60", "--autocheckpoint", "0", "--pause", "0.004"];
        let mut writer = scene.writer(&end);
        commits += writer.commits();
        let shipped = |bytes: Result<Vec<u8>, String>| bytes.is_ok_and(|bytes| chain_length(&bytes) == commits);
        wait_until("everything to be shipped", || shipped(scene.restored_from(scene.replica(), &[])));
        // Nothing is written any more, but merging may go on.
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..40)));
        replicator.kill();
        assert_eq!(chain_length(&scene.restored()), commits, "round {round}\n{}", scene.log());
        let by_litestream = scene.restored_by(&litestream, scene.replica()).unwrap();
        assert_eq!(chain_length(&by_litestream), commits, "round {round}\n{}", scene.log());
    }
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--commits", "300", "--pause", "0.002"]);
    commits += writer.commits();
    wait_until("everything to be shipped", || chain_length(&scene.restored()) == commits);
    replicator.stop_well();
    assert!(scene.source() == scene.restored_by(&litestream, scene.replica()).unwrap());
    assert!(scene.log().contains("segments merged") && scene.log().contains("merged range written"), "{}", scene.log());
}
