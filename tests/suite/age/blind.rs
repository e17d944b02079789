//! Replicators that encrypt for somebody, and cannot read what they have written.

use std::fs;

use super::stage::*;

/// Nothing is wrong, and everybody who may read it finds it so.
fn assert_sound(stage: &Stage) {
    let (source, log) = (stage.scene.source(), stage.scene.log());
    assert_eq!(generations(&stage.sealed()).len(), 1, "{log}");
    for complaint in ["cannot look for", "CONFLICT", "cannot read the", "cannot write", "is taken for another"] {
        assert!(!log.contains(complaint), "{complaint}\n{log}");
    }
    let reader = age(&[0], &[]);
    assert!(stage.restored(&reader, &[]).unwrap() == source, "{log}");
    assert!(stage.restored_by_litestream(&reader).unwrap() == source, "{log}");
    stage.say(&reader, &["verify"]);
    // What the state folder remembers says nothing of the content.
    assert!(holding(&stage.scene.path(".app.db-lightship"), CANARY).is_empty());
}

#[test]
fn a_replicator_without_identities_goes_on_where_it_was_killed() {
    let mut stage = Stage::new(&age(&[], &[0]), "");
    // Nobody checkpoints, so the WAL is still whole after every kill.
    stage.scene.database_keys = "min-checkpoint-page-count: 100000000".to_owned();
    let writer = stage.scene.writer(&["--pause", "0.002", "--autocheckpoint", "0"]);
    let mut replicator = stage.replicate();
    for round in 1..=5 {
        let latest = || objects(&stage.sealed()).into_iter().max().unwrap_or_default();
        let newest = latest();
        wait_until("progress", || latest() > newest);
        std::thread::sleep(std::time::Duration::from_millis(fastrand::u64(5..400)));
        replicator.kill();
        replicator = stage.replicate();
        let continued = || stage.scene.log().matches("continuing the generation").count();
        wait_until("the next attempt to follow", || continued() >= round);
    }
    drop(writer);
    replicator.stop_well();
    assert_sound(&stage);
    let store = |age: &str| said(&stage.run(age, &["doctor"])).split("replica sealed").nth(1).unwrap().to_owned();
    assert!(store(&age(&[], &[0])).contains("can only be restored where an identity is"), "{}", store(&age(&[], &[0])));
    assert!(store(&age(&[0], &[0])).contains("whole and in parts"), "{}", store(&age(&[0], &[0])));
    // Who cannot read cannot restore, and is told why.
    let refused = stage.restored(&age(&[], &[0]), &[]).unwrap_err();
    assert!(refused.contains("reading takes `age: identities`"), "{refused}");
}

#[test]
fn a_replicator_without_identities_merges_deletes_and_goes_on_after_a_stop() {
    let keys = "retention: 1s\nretention-check-interval: 200ms\nsnapshot-interval: 700ms";
    let stage = Stage::new(&age(&[], &[0]), keys);
    let mut replicator = stage.replicate();
    for round in 1..=3 {
        let mut writer =
            stage.scene.writer(&["--pause", "0.005", "--commits", "200", "--autocheckpoint", "0", "--stay"]);
        writer.commits();
        replicator.stop_well();
        // The database goes on while nobody follows it.
        stage.scene.sql(Shell::Python, &format!("CREATE TABLE later_{round} (x);"));
        writer.leave();
        replicator = stage.replicate();
        let continued = || stage.scene.log().matches("continuing the generation").count();
        wait_until("the next attempt to follow", || continued() >= round);
    }
    let writer = stage.scene.writer(&["--pause", "0.005", "--autocheckpoint", "0"]);
    replicator.wait_for("deleted what the retention does not keep");
    replicator.wait_for("segments merged");
    drop(writer);
    replicator.stop_well();
    assert_sound(&stage);
}

#[test]
fn without_its_state_folder_it_begins_a_generation_and_says_why() {
    let stage = Stage::new(&age(&[], &[0]), "");
    stage.replicate().stop_well();
    let before = contents(&stage.sealed());
    fs::remove_dir_all(stage.scene.path(".app.db-lightship")).unwrap();
    stage.scene.sql(Shell::Python, "CREATE TABLE later (x);");
    let replicator = stage.scene.replicate();
    wait_until("another generation", || generations(&stage.sealed()).len() == 2);
    replicator.stop_well();
    let log = stage.scene.log();
    assert!(log.contains("no generation can be continued"), "{log}");
    let after = contents(&stage.sealed());
    assert!(before.iter().all(|object| after.contains(object)), "what was there is left alone");
    assert!(stage.restored(&age(&[0], &[]), &[]).unwrap() == stage.scene.source());
}

#[test]
fn a_named_point_that_cannot_be_read_keeps_retention_from_deleting() {
    let stage =
        Stage::new(&age(&[], &[0]), "retention: 300ms\nretention-check-interval: 100ms\nsnapshot-interval: 200ms");
    let replicator = stage.replicate();
    let made = stage.run(&age(&[0], &[0]), &["point", "create", "kept"]);
    assert!(made.status.success(), "{}", said(&made));
    let writer = stage.scene.writer(&["--pause", "0.01", "--autocheckpoint", "0"]);
    replicator.wait_for("cannot look for what may be deleted");
    drop(writer);
    replicator.stop_well();
    let point = stage.restored(&age(&[0], &[]), &["-point", "kept"]).unwrap();
    chain_length(&point);
    let pruned = stage.run(&age(&[0], &[0]), &["retention", "-retention", "300ms"]);
    assert!(pruned.status.success(), "{}", said(&pruned));
    assert!(stage.restored(&age(&[0], &[]), &["-point", "kept"]).unwrap() == point);
}
