//! The program is killed at each of the places where it matters (docs/reliability.md lists them), started again, and
//! has lost nothing.
//!
//! `LIGHTSHIP_FAULT_ROUNDS` is how often each place is tried; in all rounds but the first it is passed a few times
//! before.

mod places;
mod restore;
mod stage;

use std::fs;

use crate::follow::scene::*;
use crate::follow::writers::replicate_and_follow;
use stage::*;

/// Handing over with the write lock.
const SEALING: [&str; 6] = [
    "handover-sealing",
    "handover-captured",
    "handover-checkpointed",
    "handover-guarding",
    "handover-guarded",
    "handover-unlocked",
];
/// Following, handing over and shipping.
const FOLLOWING: [&str; 12] = [
    "handover-pinned",
    "handover-copied",
    "restart-pinned",
    "restart-followed",
    "ship-encoded",
    "ship-put",
    "ship-noted",
    "end-encoded",
    "end-put",
    "pages-created",
    "pages-staged",
    "pages-renamed",
];
/// A checkpoint of the application's waits for the pin.
const GIVING_WAY: [&str; 2] = ["way-pinned", "way-given"];
/// A checkpoint waits for a reader of the application's, or for a lock that was one's.
const STEPPING_ASIDE: [&str; 3] = ["aside-kept", "aside-pinned", "aside-released"];
/// Objects of a file replica on their way to the disk.
const STORING: [&str; 5] = ["file-created", "file-written", "file-synced", "file-named", "file-deleted"];
/// Snapshots, merged ranges, retention, and pieces of large objects.
const COPYING: [&str; 12] = [
    "snapshot-begun",
    "snapshot-copying",
    "snapshot-copied",
    "snapshot-put",
    "file-writing",
    "range-copied",
    "range-put",
    "retention-planned",
    "retention-announced",
    "retention-deleting",
    "retention-deleted",
    "retention-noted",
];
const MERGING: [&str; 3] = ["merge-made", "merge-put", "merge-deleting"];
/// What a merge that died at `merge-put` has left.
const LEFTOVERS: [&str; 2] = ["leftovers-found", "leftovers-deleting"];
/// A new state folder, and going on with another's history.
const NAMING: [&str; 6] =
    ["writer-created", "writer-synced", "writer-renamed", "take-over-looked", "take-over-ended", "take-over-done"];
/// The WAL has gone while nobody followed.
const RESYNCING: [&str; 2] = ["resync-made", "resync-placed"];
/// The application has closed the database.
const LETTING_GO: [&str; 2] = ["let-go-closing", "let-go-closed"];
/// An empty replica.
const FOUNDING: [&str; 1] = ["folder-made"];
/// Another replicator has gone on with the generation.
const FORKING: [&str; 3] = ["fork-found", "fork-renamed", "fork-attached"];
/// The replica has missed several indexes.
const BRIDGING: [&str; 3] = ["gap-ended", "gap-crossed", "gap-bridged"];
/// An encrypted replica that the replicator cannot read.
const REMEMBERING: [&str; 3] = ["written-synced", "written-renamed", "written-appended"];

#[test]
fn killed_at_any_step_of_following_and_shipping_it_loses_nothing() {
    let stage = Stage::new("");
    for round in 0..rounds() {
        for place in SEALING {
            let writer = stage.fast_writer();
            stage.die(place, nth(round, 9));
            stage.recover(place, writer);
        }
        for place in FOLLOWING {
            // The pages are kept once a minute.
            let most = if place.starts_with("pages") { 1 } else { 9 };
            stage.die_and_recover(place, nth(round, most));
        }
    }
}

#[test]
fn killed_while_it_gives_way_to_a_checkpoint_it_loses_nothing() {
    let stage = Stage::new("");
    for round in 0..rounds() {
        for place in GIVING_WAY {
            let writer = stage.scene().writer(&["--checkpoints", "--patience", "20", "--pause", "0.003"]);
            stage.die(place, nth(round, 9));
            stage.recover(place, writer);
        }
        for place in STEPPING_ASIDE {
            let writer = stage.scene().writer(&["--checkpoints", "--readers", "--pause", "0.003"]);
            stage.die(place, nth(round, 3));
            stage.recover(place, writer);
        }
    }
}

#[test]
fn killed_at_any_step_of_storing_and_merging_objects_it_loses_nothing() {
    let mut stage = Stage::new("");
    for round in 0..rounds() {
        STORING.iter().for_each(|place| stage.die_and_recover(place, nth(round, 9)));
        MERGING.iter().for_each(|place| stage.die_and_recover(place, nth(round, 4)));
    }
    // All in one index: what is left there would hide from Litestream what is shipped behind it.
    stage.inner.scene.database_keys = "min-checkpoint-page-count: 100000000".to_owned();
    for place in LEFTOVERS {
        let writer = stage.slow_writer();
        stage.die("merge-put", 1);
        stage.die(place, 1);
        stage.recover(place, writer);
    }
}

#[test]
fn killed_at_any_step_of_a_snapshot_a_range_or_the_retention_it_loses_nothing() {
    let stage = Stage::new("retention: 1s\nretention-check-interval: 200ms\nsnapshot-interval: 500ms");
    // More than goes out in one piece.
    stage
        .scene()
        .sql(Shell::Python, "CREATE TABLE ballast (v BLOB); INSERT INTO ballast VALUES (randomblob(6000000));");
    for round in 0..rounds() {
        for place in COPYING {
            let nth = if place == "snapshot-copying" { 10 } else { nth(round, 3) };
            stage.die_and_recover(place, nth);
        }
    }
}

#[test]
fn killed_at_any_step_of_beginning_or_of_letting_go_it_loses_nothing() {
    let stage = Stage::new("");
    replicate_and_follow(stage.scene()).stop_well();
    for round in 0..rounds() {
        for place in NAMING {
            stage.forget_name();
            stage.die_and_recover(place, 1);
        }
        for place in RESYNCING {
            // The last connection removes the WAL.
            stage.scene().writer(&["--commits", "20"]).leave();
            stage.die_and_recover(place, 1);
        }
        for place in LETTING_GO {
            let mut writer = stage.scene().writer(&["--commits", "20", "--stay"]);
            let replicator = stage.start_deadly(place, 1);
            writer.commits();
            writer.leave();
            stage.await_death(replicator, place);
            stage.recover(place, stage.writer());
        }
        for place in FOUNDING {
            stage.forget_replica();
            stage.die_and_recover(place, nth(round, 4));
        }
    }
}

#[test]
fn killed_at_any_step_of_a_fork_it_loses_nothing() {
    let stage = Stage::new("");
    replicate_and_follow(stage.scene()).stop_well();
    for _ in 0..rounds() {
        for place in FORKING {
            let ours = stage.start_deadly(place, 1);
            ours.wait_for("continuing the generation");
            ours.signal("STOP");
            // Somebody goes on with a copy, under another name.
            let mut theirs = Scene::new();
            theirs.more_replicas.clone_from(&stage.scene().more_replicas);
            theirs.replicas.clear();
            fs::copy(stage.scene().db(), theirs.db()).unwrap();
            let other = replicate_and_follow(&theirs);
            theirs.sql(Shell::Python, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);");
            other.stop_well();
            let writer = stage.writer();
            ours.signal("CONT");
            stage.await_death(ours, place);
            stage.recover(place, writer);
        }
    }
}

/// Nobody may start it again: the state before the gap can be restored at once, or the one behind it.
#[test]
fn killed_before_a_gap_is_bridged_it_loses_nothing() {
    let mut stage = Stage::new("");
    let first = stage.scene().path("first");
    stage.inner.scene.replicas.push(first);
    replicate_and_follow(stage.scene()).stop_well();
    let both = stage.scene().more_replicas.clone();
    for _ in 0..rounds() {
        for place in BRIDGING {
            stage.inner.scene.more_replicas.clear();
            for _ in 0..3 {
                stage.scene().writer(&["--commits", "5"]).leave();
                replicate_and_follow(stage.scene()).stop_well();
            }
            stage.inner.scene.more_replicas.clone_from(&both);
            stage.die(place, 1);
            let ours = stage.inner.restored("", &[]).unwrap_or_else(|error| panic!("{place}: {error}"));
            if place != "gap-crossed" {
                assert!(ours == stage.inner.restored_by_litestream("").unwrap(), "{place}");
            }
            replicate_and_follow(stage.scene()).stop_well();
            stage.check_latest(place);
        }
    }
}

#[test]
fn killed_while_it_keeps_what_it_cannot_read_it_loses_nothing() {
    let stage = Stage::encrypted("");
    for round in 0..rounds() {
        for place in REMEMBERING {
            stage.die_and_recover(place, if place == "written-appended" { nth(round, 9) } else { 1 });
        }
    }
}
