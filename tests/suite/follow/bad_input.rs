//! What cannot be followed is named, with what to do about it, and nothing is lost or written.

use std::fs;
use std::process::Stdio;

use super::scene::*;

/// Starts a replicator that is expected to say `text` and to keep trying, and then cures the database.
fn is_named_and_cured(scene: &Scene, text: &str, cure: impl FnOnce()) {
    let replicator = scene.replicate();
    replicator.wait_for(text);
    let log = scene.log();
    assert!(log.contains("app.db"), "the message does not name the database\n{log}");
    assert!(objects(scene.replica()).is_empty(), "something was shipped\n{log}");
    cure();
    replicator.wait_for("snapshot written");
    replicator.stop_well();
    assert!(scene.source() == scene.restored(), "{}", scene.log());
}

fn make_sound(scene: &Scene) {
    let sound = scene.path("sound.db");
    Shell::Cli.run(&sound, "PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (1);");
    fs::rename(sound, scene.db()).unwrap();
}

fn is_refused(bytes: &[u8], text: &str) {
    let scene = Scene::new();
    fs::write(scene.db(), bytes).unwrap();
    is_named_and_cured(&scene, text, || {
        assert!(fs::read(scene.db()).unwrap() == bytes, "the file was changed");
        make_sound(&scene);
    });
}

#[test]
fn file_that_is_no_database_is_refused() {
    is_refused(b"Dear diary, today I was replicated.\n", "not a SQLite database");
    is_refused(&b"Lorem ipsum dolor sit amet. ".repeat(1000), "not a SQLite database");
}

#[test]
fn encrypted_database_is_refused() {
    let noise: Vec<u8> = (0..40_960_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    is_refused(&noise, "encrypted");
}

#[test]
fn empty_file_is_waited_for() {
    is_refused(b"", "the file is empty");
}

#[test]
fn folder_instead_of_a_database_is_refused() {
    let scene = Scene::new();
    fs::create_dir(scene.db()).unwrap();
    is_named_and_cured(&scene, "cannot follow the database", || {
        fs::remove_dir(scene.db()).unwrap();
        make_sound(&scene);
    });
}

/// Half of the pages are missing. Whatever is said, nothing may be published that a restore would take for sound.
#[test]
fn truncated_database_is_not_taken_for_a_sound_one() {
    let scene = Scene::with_chain(1024);
    let whole = fs::read(scene.db()).unwrap();
    fs::write(scene.db(), &whole[..whole.len() / 2]).unwrap();
    let replicator = scene.replicate();
    replicator.wait_for("cannot follow the database");
    assert!(objects(scene.replica()).is_empty(), "{}", scene.log());
    fs::write(scene.db(), &whole).unwrap();
    replicator.wait_for("snapshot written");
    replicator.stop_well();
    assert!(scene.source() == scene.restored(), "{}", scene.log());
}

/// SQLite ignores a WAL with a broken header; so do we, and the database without it is what is replicated.
#[test]
fn wal_with_a_broken_header_is_ignored_as_sqlite_does() {
    let scene = Scene::with_chain(1024);
    fs::write(scene.path("app.db-wal"), b"rubbish ".repeat(2000)).unwrap();
    let replicator = scene.replicate_and_wait();
    scene.writer(&["--commits", "10"]).commits();
    replicator.stop_well();
    assert!(scene.source() == scene.restored(), "{}", scene.log());
}

#[test]
fn second_lightship_is_told_who_was_first() {
    let scene = Scene::with_chain(4096);
    let first = scene.replicate_and_wait();
    let second = Replicator::start(scene.replicate_command(), scene.path("second-log"));
    second.wait_for(&format!("another lightship (pid {})", first.child.id()));
    scene.writer(&["--commits", "10"]).commits();
    first.stop_well();
    second.wait_for("continuing the generation");
    scene.writer(&["--commits", "10"]).commits();
    second.stop_well();
    assert_eq!(generations(scene.replica()).len(), 1);
    assert!(scene.source() == scene.restored());
}

/// No room for the state folder: said, and followed all the same, for nothing in it is needed.
#[test]
fn full_disk_under_the_state_folder_is_told() {
    if !in_mount_namespace("follow::bad_input::full_disk_under_the_state_folder_is_told") {
        return;
    }
    let mut scene = Scene::with_chain(4096);
    let disk = scene.path("small-disk");
    fs::create_dir(&disk).unwrap();
    mount_tmpfs(&disk, "64k");
    // Whatever fits: the disk is full afterwards.
    let _ = fs::write(disk.join("ballast"), vec![1; 1 << 20]);
    scene.database_keys = format!("meta-path: {}", disk.join("state").display());
    let replicator = scene.replicate();
    replicator.wait_for("No space left on device");
    replicator.wait_for("snapshot written");
    scene.writer(&["--commits", "10"]).commits();
    replicator.stop_well();
    assert!(scene.source() == scene.restored(), "{}", scene.log());
}

/// As a user who may not write to the database's folder, and so can have neither a -wal nor a -shm file there.
#[test]
fn folder_without_permission_is_told() {
    let scene = Scene::with_chain(4096);
    let folder = scene.path("");
    let open = |mode: &str| {
        let done = std::process::Command::new("chmod").args(["-R", mode]).arg(&folder).status();
        assert!(done.unwrap().success());
    };
    open("a+rX,go-w");
    let config = scene.replicate_command().get_args().last().unwrap().to_owned();
    let log = fs::File::create(scene.path("log")).unwrap();
    let program = scene.path("lightship");
    fs::copy(env!("CARGO_BIN_EXE_lightship"), &program).unwrap();
    open("a+rX,go-w");
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if is_root {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command
            .args(["replicate", "-config"])
            .arg(config)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null());
        let replicator = Replicator::start(command, scene.path("log"));
        replicator.wait_for("cannot follow the database");
        let text = scene.log();
        assert!(text.contains("app.db") && (text.contains("folder") || text.contains("ermission")), "{text}");
        replicator.stop();
    }
}
