//! What we encrypt Litestream restores, and what it encrypted we restore.

use super::stage::*;

#[test]
fn what_is_encrypted_is_restored_by_both_and_says_nothing_to_others() {
    let mut stage = Stage::new(&age(&[0], &[0, 1]), "validation-interval: 300ms\nsnapshot-interval: 1s");
    let open = stage.scene.path("open");
    stage.scene.more_replicas += &format!("      - {{name: open, type: file, path: {}}}\n", open.display());
    let mut replicator = stage.replicate();
    let writer = stage.scene.writer(&["--pause", "0.005", "--autocheckpoint", "0"]);
    for indexes_wanted in [3, 7] {
        wait_until("more indexes", || indexes(&stage.sealed()) >= indexes_wanted);
        replicator.kill();
        replicator = stage.replicate();
    }
    let ranges = stage.sealed().join("lightship/ranges");
    wait_until("a merged range", || !contents(&ranges).is_empty());
    replicator.wait_for("verification ok");
    // That may have been said in an earlier life, which died before it had kept it.
    let kept = stage.sealed().join("lightship/verify.json");
    wait_until("a verification to be kept", || kept.exists());
    let reader = age(&[1], &[0, 1]);
    let made = stage.run(&reader, &["point", "create", "release", "-meta", &format!("why={CANARY}")]);
    assert!(made.status.success(), "{}", said(&made));
    drop(writer);
    replicator.stop_well();
    let source = stage.scene.source();
    for reader in [age(&[0], &[]), age(&[2, 1], &[]), reader] {
        assert!(stage.restored(&reader, &[]).unwrap() == source, "{}", stage.scene.log());
        assert!(stage.restored_by_litestream(&reader).unwrap() == source);
    }
    assert_eq!(generations(&stage.sealed()).len(), 1, "{}", stage.scene.log());
    let point = stage.restored(&age(&[1], &[]), &["-point", "release"]).unwrap();
    assert!(chain_length(&point) > 0 && chain_length(&point) <= chain_length(&source));
    let reader = age(&[0], &[]);
    for command in [vec!["verify", "-full"], vec!["verify", "-last"], vec!["point", "list"], vec!["points"]] {
        stage.say(&reader, &command);
    }
    assert!(stage.say(&reader, &["point", "list"]).contains(CANARY));
    // Page images in a WAL are not compressed to nothing: without encryption one sees it.
    assert!(!holding(&open, CANARY).is_empty());
    assert_eq!(holding(&stage.sealed(), CANARY), [""; 0].map(std::path::PathBuf::from));
    for text in ["SQLite format 3", "CREATE TABLE", "LSHPSEAL", "lightship/", "release"] {
        assert!(holding(&stage.sealed(), text).is_empty(), "{text:?} can be read");
    }
    assert!(!stage.scene.log().contains("AGE-SECRET-KEY"));
}

#[test]
fn what_litestream_encrypted_is_restored_listed_and_verified() {
    let stage = Stage::new(&age(&[0], &[0, 1]), "");
    let folder = stage.scene.path("theirs");
    std::fs::create_dir(&folder).unwrap();
    let mut make = python("litestream_replica.py");
    make.arg(litestream("LITESTREAM", "0.3.13")).arg(&folder).arg("4096").arg(age(&[1], &[0, 1]));
    assert!(make.status().unwrap().success());
    std::fs::rename(folder.join("replica"), stage.sealed()).unwrap();
    let expected = std::fs::read(folder.join("expected.db")).unwrap();
    assert!(indexes(&stage.sealed()) > 3);
    for identity in [0, 1] {
        let reader = age(&[identity], &[]);
        assert!(stage.restored(&reader, &[]).unwrap() == expected);
        stage.say(&reader, &["generations"]);
        assert!(stage.say(&reader, &["points"]).contains("segment"));
        let moved = stage.scene.path("aside");
        std::fs::rename(stage.scene.db(), &moved).unwrap();
        let verified = stage.run(&reader, &["verify"]);
        std::fs::rename(moved, stage.scene.db()).unwrap();
        assert!(verified.status.success(), "{}", said(&verified));
    }
    // A generation of ours beside it, by somebody who may read it or not.
    for reader in [age(&[0], &[0]), age(&[], &[0])] {
        let own = Stage::new(&reader, "");
        for (path, bytes) in contents(&stage.sealed()) {
            let copy = own.sealed().join(path.strip_prefix(stage.sealed()).unwrap());
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::write(copy, bytes).unwrap();
        }
        let replicator = own.scene.replicate();
        wait_until("a generation of our own", || generations(&own.sealed()).len() == 2);
        replicator.stop_well();
        assert!(own.restored(&age(&[0], &[]), &[]).unwrap() == own.scene.source());
    }
}
