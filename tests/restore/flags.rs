//! What to restore and where to, from the command line: positions, standard output, many databases.

use std::path::Path;

use super::commands::{folder, lightship, text};
use super::recording::{GENERATION, Recording, eventful};

struct Run {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

fn run(folder: &Path, arguments: &[&str]) -> Run {
    let done = lightship(folder, arguments);
    Run { code: done.status.code(), out: done.stdout, err: text(&done.stderr) }
}

#[test]
fn a_state_is_chosen_by_its_position_as_it_is_printed() {
    let recording = eventful(512, true);
    let folder = folder(&recording);
    let state = &recording.states[5];
    let position = format!("{GENERATION}/{}:{}", state.at.0, state.at.1);
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-position", &position, "app.db"]);
    assert!(done.code == Some(0) && done.err.contains(&format!("at {position} from")), "{}", done.err);
    assert!(std::fs::read(folder.path().join("app.db")).unwrap() == state.bytes);

    let nowhere = format!("{GENERATION}/{}:{}", state.at.0, state.at.1.0 + 1);
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-o", "x.db", "-position", &nowhere, "app.db"]);
    assert!(done.code == Some(1) && done.err.contains("no commit of generation"), "{}", done.err);

    // The commits that points lists are positions, too.
    let around = ["points", "-config", "l.yml", "-around", "2023-11-14T22:13:25Z", "app.db"];
    let listed = text(&run(folder.path(), &around).out);
    assert!(listed.contains(&position), "{listed}");
}

#[test]
fn a_named_point_is_restored_though_others_have_its_time() {
    let mut recording = Recording::new(512, true);
    recording.commit("INSERT INTO t VALUES (1, 'first')");
    recording.commit("INSERT INTO t VALUES (2, 'second')");
    recording.ship();
    let state = recording.states[1].clone();
    let point = serde_json::json!({
        "version": 1, "name": "before", "generation": GENERATION.to_string(), "index": state.at.0.get(),
        "offset": state.at.1.0, "time_ms": recording.states[2].time.0, "digest": null, "created_ms": 1,
    });
    recording.store.put("lightship/points/before.json", point.to_string().into_bytes(), 1);
    let folder = folder(&recording);
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-point", "before", "app.db"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(std::fs::read(folder.path().join("app.db")).unwrap() == state.bytes);
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-point", "after", "-o", "x.db", "app.db"]);
    assert!(done.code == Some(1) && done.err.contains("no replica has a point called \"after\""), "{}", done.err);
}

#[test]
fn a_database_goes_to_standard_output_only_when_it_is_proved() {
    let recording = eventful(512, true);
    let folder = folder(&recording);
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let to_stdout = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lightship"));
        command.current_dir(folder.path()).env("TMPDIR", &temporary);
        let done = command.args(["restore", "-config", "l.yml", "-to-stdout"]).args(arguments).output().unwrap();
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
        Run { code: done.status.code(), out: done.stdout, err: text(&done.stderr) }
    };
    let done = to_stdout(&["app.db"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out == recording.states.last().unwrap().bytes && done.err.contains("digest verified"));
    assert!(!folder.path().join("app.db").exists());

    let last = recording.store.keys().into_iter().rfind(|key| key.contains("/wal/")).unwrap();
    std::fs::write(folder.path().join("replica").join(last), "damaged").unwrap();
    let done = to_stdout(&["app.db"]);
    assert!(done.code == Some(1) && done.out.is_empty(), "{}", done.err);
}

#[test]
fn what_cannot_be_written_to_standard_output_is_an_error() {
    let recording = eventful(4096, true);
    let folder = folder(&recording);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lightship"));
    command.current_dir(folder.path()).args(["restore", "-config", "l.yml", "-to-stdout", "app.db"]).stdout(full);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("what was written is not complete"), "{}", text(&done.stderr));
}

/// Three databases: two below `a`, one of which has no replica, and one below `b`.
fn three() -> (tempfile::TempDir, Vec<u8>) {
    let recording = eventful(512, true);
    let folder = folder(&recording);
    let at = folder.path().display();
    let database =
        |name: &str, replica: &str| format!("  - path: {at}/{name}\n    replicas:\n      - path: {at}/{replica}\n");
    let copied = std::process::Command::new("cp").args(["-r", "replica", "again"]).current_dir(folder.path()).status();
    assert!(copied.unwrap().success());
    let databases = [("a/one.db", "replica"), ("a/x/two.db", "empty"), ("b/one.db", "again")];
    let config: String = databases.iter().map(|(name, replica)| database(name, replica)).collect();
    std::fs::write(folder.path().join("l.yml"), format!("dbs:\n{config}")).unwrap();
    (folder, recording.states.last().unwrap().bytes.clone())
}

#[test]
fn all_databases_of_a_configuration_are_restored_in_place() {
    let (folder, expected) = three();
    let restored = |name: &str| std::fs::read(folder.path().join(name)).is_ok_and(|bytes| bytes == expected);
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-all"]);
    assert!(done.code == Some(1) && done.err.contains("1 of 3 databases were not restored"), "{}", done.err);
    assert!(done.err.contains("a/x/two.db: no matching backups found"), "{}", done.err);
    assert!(restored("a/one.db") && restored("b/one.db") && !folder.path().join("a/x/two.db").exists());

    let done = run(folder.path(), &["restore", "-config", "l.yml", "-all", "-if-replica-exists"]);
    assert!(done.code == Some(1) && done.err.contains("restored 0, skipped 1, failed 2"), "{}", done.err);
    let quiet = ["restore", "-config", "l.yml", "-all", "-if-replica-exists", "-if-db-not-exists"];
    let done = run(folder.path(), &quiet);
    assert!(done.code == Some(0) && done.err.contains("restored 0, skipped 3, failed 0"), "{}", done.err);
}

#[test]
fn the_databases_below_a_folder_are_restored_below_another_one() {
    let (folder, expected) = three();
    let restored = |name: &str| std::fs::read(folder.path().join(name)).is_ok_and(|bytes| bytes == expected);
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-all", "-if-replica-exists", "-o", "new", "a"]);
    assert!(done.code == Some(0) && done.err.contains("restored 1, skipped 1, failed 0"), "{}", done.err);
    assert!(restored("new/one.db") && !folder.path().join("a").exists() && !folder.path().join("new/b").exists());

    let done = run(folder.path(), &["restore", "-config", "l.yml", "-all", "-if-replica-exists", "-o", "whole"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(restored("whole/a/one.db") && restored("whole/b/one.db"));

    let done = run(folder.path(), &["restore", "-config", "l.yml", "-all", "-dry-run", "-if-replica-exists", "b"]);
    let plan = text(&done.out);
    assert!(done.code == Some(0) && plan.contains("b/one.db") && plan.contains("downloads"), "{plan}");
    assert!(!folder.path().join("b").exists());
    let done = run(folder.path(), &["restore", "-config", "l.yml", "-all", "c"]);
    assert!(done.code == Some(1) && done.err.contains("the configuration names no database below"), "{}", done.err);
}
