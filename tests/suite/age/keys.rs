//! Wrong keys, missing keys, and objects that are not what was encrypted.

use std::fs;

use super::stage::*;

const COMMANDS: [&[&str]; 5] =
    [&["generations"], &["points"], &["verify"], &["point", "list"], &["retention", "-dry-run"]];

#[test]
fn a_wrong_or_missing_key_is_an_error_that_says_so_and_changes_nothing() {
    let mut stage = Stage::new(&age(&[0], &[0]), "");
    let replicator = stage.replicate();
    let made = stage.run(&age(&[0], &[0]), &["point", "create", "p"]);
    assert!(made.status.success(), "{}", said(&made));
    replicator.stop_well();
    let before = contents(&stage.sealed());
    let readers = [
        (age(&[1, 2], &[0]), "none of the configured identities opens it"),
        (age(&[], &[0]), "the configuration has recipients only"),
        (String::new(), "`age` is not configured"),
    ];
    for (reader, expected) in &readers {
        for command in COMMANDS {
            // Retention decides by the store's times if there is nobody to read as; but there is a named point.
            let ended = stage.run(reader, command);
            let said = said(&ended);
            assert!(!ended.status.success() && ended.status.code() != Some(2), "{reader} {command:?}: {said}");
            assert!(said.contains(expected), "{reader} {command:?}: {said}");
        }
        for arguments in [vec![], vec!["-point", "p"], vec!["-timestamp", "1s ago"]] {
            let refused = stage.restored(reader, &arguments).unwrap_err();
            assert!(refused.contains(expected), "{reader} {arguments:?}: {refused}");
        }
    }
    let by_url = stage.scene.restored_from(&stage.sealed(), &[]).unwrap_err();
    assert!(by_url.contains("`age` is not configured"), "{by_url}");
    assert!(contents(&stage.sealed()) == before);
    // Who replicates with such a configuration adds to the replica, or stays away; nothing is replaced or deleted.
    let eager = "retention: 100ms\nretention-check-interval: 100ms\nsnapshot-interval: 200ms";
    stage.scene.sql(Shell::Python, "CREATE TABLE later (x);");
    stage.encrypt(&age(&[1], &[0]), eager);
    let replicator = stage.scene.replicate();
    replicator.wait_for("no identity belongs to a recipient");
    wait_until("another generation", || generations(&stage.sealed()).len() == 2);
    replicator.wait_for("cannot look for what may be deleted");
    replicator.stop_well();
    let after = contents(&stage.sealed());
    assert!(before.iter().all(|object| after.contains(object)), "{}", stage.scene.log());
    stage.encrypt("", eager);
    let replicator = stage.scene.replicate();
    replicator.wait_for("`age` is not configured");
    replicator.kill();
    assert!(contents(&stage.sealed()) == after, "nothing plain is written beside what is encrypted");
}

#[test]
fn a_plain_replica_is_not_continued_encrypted() {
    let mut stage = Stage::new("", "");
    stage.replicate().stop_well();
    let before = contents(&stage.sealed());
    assert!(!holding(&stage.sealed(), CANARY).is_empty());
    for writer in [age(&[0], &[0]), age(&[], &[0])] {
        stage.encrypt(&writer, "");
        let said_before = stage.scene.log().matches("it is not encrypted, but `age` is configured").count();
        let replicator = stage.scene.replicate();
        let said_now = || stage.scene.log().matches("it is not encrypted, but `age` is configured").count();
        wait_until("the error", || said_now() > said_before);
        replicator.kill();
        assert!(contents(&stage.sealed()) == before);
    }
    let refused = stage.restored(&age(&[0], &[]), &[]).unwrap_err();
    assert!(refused.contains("it is not encrypted, but `age` is configured"), "{refused}");
}

#[test]
fn damage_in_an_encrypted_object_is_found_and_named() {
    let stage = Stage::new(&age(&[0], &[0]), "");
    let replicator = stage.replicate();
    stage.scene.sql(Shell::Python, "CREATE TABLE later (x); INSERT INTO later VALUES (randomblob(300000));");
    wait_until("a segment", || objects(&stage.sealed()).iter().any(|o| o.contains("/wal/")));
    replicator.stop_well();
    let reader = age(&[0], &[]);
    let expected = stage.restored(&reader, &[]).unwrap();
    for object in objects(&stage.sealed()) {
        let path = stage.sealed().join("generations").join(&object);
        let sound = fs::read(&path).unwrap();
        let cut = sound[..sound.len() * 2 / 3].to_vec();
        let mut flipped = sound.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [cut, flipped] {
            fs::write(&path, damaged).unwrap();
            let verified = stage.run(&reader, &["verify"]);
            assert_eq!(verified.status.code(), Some(2), "{object}: {}", said(&verified));
            assert!(said(&verified).contains(&object), "{object}: {}", said(&verified));
            match stage.restored(&reader, &[]) {
                Ok(restored) => assert!(restored == expected, "{object} was not needed"),
                Err(error) => assert!(error.contains(&object), "{object}: {error}"),
            }
        }
        fs::write(&path, sound).unwrap();
    }
    stage.say(&reader, &["verify"]);
}
