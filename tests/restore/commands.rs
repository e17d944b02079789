//! The program itself: exit codes, and what goes to stdout.

use std::path::Path;
use std::process::{Command, Output};

use super::recording::{GENERATION, Recording, eventful};

pub fn lightship(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lightship")).current_dir(folder).args(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with `replica/`, and a configuration for `app.db`, which does not exist.
pub fn folder(recording: &Recording) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (key, (bytes, modified_ms)) in &recording.store.objects {
        let path = folder.path().join("replica").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let modified = std::time::UNIX_EPOCH + std::time::Duration::from_millis(*modified_ms);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    let at = folder.path().display();
    let config = format!("dbs:\n  - path: {at}/app.db\n    replicas:\n      - path: {at}/replica\n");
    std::fs::write(folder.path().join("l.yml"), config).unwrap();
    folder
}

#[test]
fn restore_has_the_exit_codes_that_start_scripts_rely_on() {
    let recording = eventful(512, true);
    let folder = folder(&recording);
    let run = |arguments: &[&str]| {
        let done = lightship(folder.path(), arguments);
        (done.status.code().unwrap(), text(&done.stdout), text(&done.stderr))
    };
    let (code, out, err) = run(&["restore", "-config", "l.yml", "-dry-run", "app.db"]);
    assert!(code == 0 && out.contains("downloads") && err.is_empty(), "{out} {err}");
    assert!(!folder.path().join("app.db").exists());
    let (code, out, err) = run(&["restore", "-config", "l.yml", "app.db"]);
    assert!(code == 0 && out.is_empty() && err.contains("digest verified"), "{out} {err}");
    assert!(std::fs::read(folder.path().join("app.db")).unwrap() == recording.states.last().unwrap().bytes);
    let (code, _, err) = run(&["restore", "-config", "l.yml", "app.db"]);
    assert!(code == 1 && err.contains("cannot restore, output path already exists"), "{err}");
    let (code, _, err) = run(&["restore", "-config", "l.yml", "-if-db-not-exists", "app.db"]);
    assert!(code == 0 && err.contains("database already exists, skipping"), "{err}");

    let nowhere = format!("file://{}/nowhere", folder.path().display());
    let (code, _, err) = run(&["restore", "-o", "x.db", &nowhere]);
    assert!(code == 1 && err.contains("no matching backups found"), "{err}");
    let (code, _, err) = run(&["restore", "-if-replica-exists", "-o", "x.db", &nowhere]);
    assert!(code == 0 && err.contains("no matching backups found"), "{err}");
    let replica = format!("file://{}/replica", folder.path().display());
    let (code, _, _) =
        run(&["restore", "-if-replica-exists", "-generation", "0000000000000001", "-o", "x.db", &replica]);
    assert_eq!(code, 1);
    let (code, _, err) = run(&["restore", "-config", "l.yml", "-replica", "s3", "-o", "x.db", "app.db"]);
    assert!(code == 1 && err.contains("replica \"s3\" not found for database"), "{err}");

    let time = "2023-11-14T22:13:22.5Z";
    let (code, _, err) = run(&["restore", "-timestamp", time, "-o", "then.db", &replica]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("asked for 2023-11-14T22:13:22.500Z, restored commit of 2023-11-14T22:13:22.000Z"), "{err}");
    assert!(std::fs::read(folder.path().join("then.db")).unwrap() == recording.states[2].bytes);
}

#[test]
fn listings_are_tables_or_json() {
    let recording = eventful(512, true);
    let folder = folder(&recording);
    let run = |arguments: &[&str]| {
        let done = lightship(folder.path(), arguments);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    let databases = run(&["databases", "-config", "l.yml"]);
    assert_eq!(databases.lines().last().unwrap(), format!("{}/app.db  file", folder.path().display()));
    let generations = run(&["generations", "-config", "l.yml", "app.db"]);
    assert!(generations.starts_with("name  generation        lag"), "{generations}");
    let row = "2023-11-14T22:13:20Z  2023-11-14T22:13:38Z  -       newest  -\n";
    assert!(generations.ends_with(row), "{generations}");
    let snapshots = run(&["snapshots", "-config", "l.yml", "app.db"]);
    assert_eq!(snapshots.lines().count(), 3);
    assert!(snapshots.lines().nth(2).unwrap().starts_with(&format!("file     {GENERATION}  2      ")), "{snapshots}");
    let wal = run(&["wal", "-config", "l.yml", "-generation", &GENERATION.to_string(), "app.db"]);
    assert_eq!(wal.lines().next().unwrap().split_whitespace().count(), 6);
    let segments = recording.store.keys().iter().filter(|k| k.contains("/wal/")).count();
    assert_eq!(wal.lines().count(), segments + 1);

    let generations: serde_json::Value =
        serde_json::from_str(&run(&["generations", "-json", "-config", "l.yml", "app.db"])).unwrap();
    assert_eq!(generations[0]["sealed"], true);
    assert_eq!(generations[0]["segments"], segments);
    let wal: serde_json::Value = serde_json::from_str(&run(&["wal", "-json", "-config", "l.yml", "app.db"])).unwrap();
    assert_eq!(wal.as_array().unwrap().len(), segments);
    assert_eq!(wal[0]["offset"], 0);
}

#[test]
fn a_listing_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
    let url = format!("file://{}/loop", folder.path().display());
    for command in ["generations", "snapshots", "wal"] {
        let done = lightship(folder.path(), &[command, &url]);
        assert_eq!(done.status.code(), Some(1), "{command}");
        assert!(text(&done.stderr).contains("cannot list replica file"), "{}", text(&done.stderr));
    }
    let done = lightship(folder.path(), &["restore", "-if-replica-exists", "-o", "x.db", &url]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("cannot read replica file"), "{}", text(&done.stderr));
}

#[test]
fn version_says_its_own_and_that_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(&lightship(folder.path(), &["version"]).stdout);
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(out.lines().next(), Some(format!("lightship v{own}").as_str()));
    assert!(out.lines().nth(1).unwrap().starts_with("SQLite 3."));
    let alias = folder.path().join("litestream");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lightship"), &alias).unwrap();
    let done = Command::new(&alias).arg("version").output().unwrap();
    assert_eq!(text(&done.stdout).lines().next(), Some(format!("v{own}").as_str()));
}
