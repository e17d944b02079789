//! `-exec`, signals and exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::scene::*;

fn with_exec(scene: &Scene, program: &str) -> Replicator {
    let mut command = scene.replicate_command();
    command.arg("-exec").arg(program);
    Replicator::start(command, scene.path("log"))
}

fn sql_command(scene: &Scene, sql: &str) -> String {
    format!("sqlite3 -cmd '.timeout 30000' {} \"{sql}\"", scene.db().display())
}

/// The command ends before the replicator has even seen the database: its commit is shipped all the same.
#[test]
fn what_a_very_short_command_writes_is_in_the_replica() {
    for round in 0..3 {
        let scene = Scene::with_chain(4096);
        let status = with_exec(&scene, &sql_command(&scene, &format!("CREATE TABLE e AS SELECT {round}"))).ended();
        assert!(status.success(), "{}", scene.log());
        assert!(scene.source() == scene.restored(), "round {round}\n{}", scene.log());
    }
}

/// The command makes the database itself, and is gone at once.
#[test]
fn database_made_by_a_very_short_command_is_in_the_replica() {
    let scene = Scene::new();
    let sql = "PRAGMA journal_mode = wal; CREATE TABLE e (x); INSERT INTO e VALUES (1)";
    let status = with_exec(&scene, &sql_command(&scene, sql)).ended();
    assert!(status.success(), "{}", scene.log());
    assert!(scene.source() == scene.restored(), "{}", scene.log());
}

#[test]
fn failure_of_the_command_is_the_exit_code() {
    let scene = Scene::with_chain(4096);
    let status = with_exec(&scene, "sh -c 'exit 7'").ended();
    assert_eq!(status.code(), Some(1));
    assert!(scene.log().contains("exit status 7"), "{}", scene.log());
    assert!(with_exec(&scene, "/no/such/program").ended().code() == Some(1));
    assert!(scene.log().contains("/no/such/program"), "{}", scene.log());
}

/// SIGTERM goes to the command; what it still writes is shipped.
#[test]
fn signal_reaches_the_command_and_its_last_words_are_shipped() {
    let scene = Scene::with_chain(4096);
    let last = sql_command(&scene, "CREATE TABLE last_words AS SELECT 1").replace('"', "\\\"");
    let script = format!(
        "sh -c \"trap '' INT; trap : TERM; sleep 30 & wait; kill $!; {}\"",
        last.replace("'.timeout 30000'", "'.timeout 9000'")
    );
    let mut replicator = with_exec(&scene, &script);
    replicator.wait_for("snapshot written");
    replicator.signal("TERM");
    let status = replicator.ended();
    assert!(status.success(), "{status}\n{}", scene.log());
    assert!(scene.source() == scene.restored(), "{}", scene.log());
    let words = scene.source();
    assert!(words.windows(10).any(|w| w == b"last_words"), "the command was not allowed to end by itself");
}

/// Starts a replicator beside `program`, which writes its process id to `$0` first, and sends it one signal.
fn signalled_once(scene: &Scene, program: &str) -> (Replicator, PathBuf) {
    let pid = scene.path("pid");
    let replicator = with_exec(scene, &format!("sh -c '{program}' {}", pid.display()));
    replicator.wait_for("snapshot written");
    wait_until("the command", || pid.exists());
    replicator.signal("INT");
    replicator.wait_for("sending signal to exec process");
    let number = fs::read_to_string(&pid).unwrap();
    (replicator, Path::new("/proc").join(number.trim()))
}

#[test]
fn second_signal_reaches_the_command_too_and_ends_both() {
    let scene = Scene::with_chain(4096);
    let program = "echo $$ > $0; trap \"test -e $0.told && exit; touch $0.told\" INT; while :; do sleep 0.05; done";
    let (mut replicator, command) = signalled_once(&scene, program);
    wait_until("the first signal", || scene.path("pid.told").exists());
    assert!(command.exists(), "the command goes on until it is told again");
    replicator.signal("INT");
    assert_eq!(replicator.ended().code(), Some(1), "{}", scene.log());
    assert!(scene.log().contains("second signal") && !scene.log().contains("killing"), "{}", scene.log());
    assert!(!command.exists(), "the command was left behind");
}

#[test]
fn command_that_does_not_listen_is_killed_by_a_third_signal() {
    let scene = Scene::with_chain(4096);
    let program = "echo $$ > $0; trap : INT; while :; do sleep 0.05; done";
    let (mut replicator, command) = signalled_once(&scene, program);
    for _ in 0..2 {
        replicator.signal("INT");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(replicator.ended().code(), Some(1), "{}", scene.log());
    assert!(scene.log().contains("killing exec process"), "{}", scene.log());
    assert!(!command.exists(), "the command was left behind");
}
