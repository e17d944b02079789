//! The place where the database is to appear: what is there already is never touched silently.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lightship::history::Target;
use lightship::restore::{RestoreError, RestoreReport, restore};

use super::recording::{Recording, eventful};
use super::{Warnings, named, request, run};

fn restore_to(recording: &Recording, output: &Path, warnings: &Warnings) -> Result<RestoreReport, RestoreError> {
    let backend = named("test", Arc::new(recording.store.clone()));
    run(restore(&[backend], &request(output, Target::Latest), warnings))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A process that runs `script` with `path` as its argument, says `ready`, and ends with its standard input.
fn python(script: &str, path: &Path) -> Child {
    let script = format!("import sys, os, sqlite3\n{script}\nprint('ready', flush=True)\nsys.stdin.read()");
    let mut child = Command::new("python3")
        .args(["-c", &script])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_target_that_exists_is_refused_untouched() {
    let recording = eventful(512, true);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("app.db");
    std::fs::write(&output, "mine").unwrap();
    let error = restore_to(&recording, &output, &Warnings::default()).unwrap_err().to_string();
    assert_eq!(error, format!("cannot restore, output path already exists: {}", output.display()));
    std::fs::remove_file(&output).unwrap();
    std::os::unix::fs::symlink("nowhere", &output).unwrap();
    restore_to(&recording, &output, &Warnings::default()).unwrap_err();
    assert_eq!(names(folder.path()), ["app.db"]);
}

#[test]
fn folders_are_made_private_and_so_is_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let recording = eventful(512, true);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a/b/app.db");
    restore_to(&recording, &output, &Warnings::default()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&output), mode(output.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn sidecars_of_an_earlier_database_are_moved_aside_and_never_replayed() {
    let recording = eventful(4096, true);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("app.db");
    // A WAL of the same database: SQLite would replay it.
    std::fs::copy(recording.file("-wal"), folder.path().join("app.db-wal")).unwrap();
    std::fs::write(folder.path().join("app.db-shm"), vec![0; 32 << 10]).unwrap();
    std::fs::write(folder.path().join("app.db-journal"), "old").unwrap();
    let warnings = Warnings::default();
    restore_to(&recording, &output, &warnings).unwrap();
    let names = names(folder.path());
    assert_eq!(names.len(), 4);
    assert_eq!(names.iter().filter(|n| n.contains(".orphan-20")).count(), 3, "{names:?}");
    assert_eq!(warnings.0.lock().unwrap().len(), 3);
    assert!(std::fs::read(&output).unwrap() == recording.states.last().unwrap().bytes);
}

#[test]
fn sidecars_stay_where_they_are_when_the_restore_fails() {
    let mut recording = eventful(512, true);
    let last = recording.store.keys().pop().unwrap();
    recording.store.put(&last, vec![0; 100], 0);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.db-wal"), "old").unwrap();
    restore_to(&recording, &folder.path().join("app.db"), &Warnings::default()).unwrap_err();
    assert_eq!(names(folder.path()), ["app.db-wal"]);
}

#[test]
fn sidecars_in_use_are_a_refusal_that_names_the_process() {
    let recording = eventful(512, true);
    let scripts = [
        // An application that still runs although its database was deleted.
        "c = sqlite3.connect(sys.argv[1]); c.execute('pragma journal_mode=wal'); c.execute('create table t(x)'); \
         c.commit(); c.execute('begin'); c.execute('select * from t').fetchall(); os.remove(sys.argv[1])",
        // The same without any other file.
        "f = open(sys.argv[1], 'w'); os.remove(sys.argv[1])",
        // A lock alone.
        "import fcntl; f = open(sys.argv[1] + '-shm', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)",
    ];
    for script in scripts {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("app.db");
        let child = python(script, &output);
        let before = names(folder.path());
        let error = restore_to(&recording, &output, &Warnings::default()).unwrap_err();
        assert!(matches!(&error, RestoreError::InUse { pid, .. } if *pid == child.id()), "{error}");
        assert_eq!(names(folder.path()), before);
        end(child);
        restore_to(&recording, &output, &Warnings::default()).unwrap();
    }
}

/// The disk is a file system of one megabyte; only root can make one.
#[test]
fn a_disk_that_is_too_small_is_an_error_with_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        return;
    }
    let texts = [true, false].map(|sealed| {
        let mut recording = Recording::new(4096, sealed);
        recording.commit("INSERT INTO t VALUES (1, randomblob(3000000))");
        recording.ship();
        restore_to(&recording, &folder.path().join("app.db"), &Warnings::default()).unwrap_err().to_string()
    });
    let left = names(folder.path());
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    assert!(left.is_empty(), "{left:?}");
    for text in texts {
        assert!(text.contains("bytes are needed, but 1048576 are available there"), "{text}");
    }
}
