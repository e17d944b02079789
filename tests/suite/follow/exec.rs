//! `-exec`, signals and exit codes.

use std::time::{Duration, Instant};

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

#[test]
fn second_signal_ends_at_once() {
    let scene = Scene::with_chain(4096);
    let mut replicator = with_exec(&scene, "sh -c 'trap : TERM INT; sleep 20; sleep 20'");
    replicator.wait_for("snapshot written");
    replicator.signal("INT");
    replicator.wait_for("signal received");
    let since = Instant::now();
    replicator.signal("INT");
    let status = replicator.ended();
    assert_eq!(status.code(), Some(1), "{}", scene.log());
    assert!(since.elapsed() < Duration::from_secs(2));
}
