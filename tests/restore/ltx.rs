//! Replicas that the real Litestream 0.5.17 wrote: every level, several page sizes, and what damage does to them.
//!
//! `LITESTREAM_05` names the program; otherwise it is where `tests/setup` puts it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lightship::history::Target;
use lightship::restore::{Proof, Reached, RestoreReport, Silent, restore};
use lightship::types::Txid;
use lightship::verify::{Options, Outcome, verify};
use replica_backends::file::FileBackend;
use tempfile::TempDir;

use super::litestream::walk_all;
use super::recording::eventful;
use super::{named, request, restore_from, run};

/// The real program; without it these tests fail, because passing would prove nothing.
fn litestream() -> PathBuf {
    let named = std::env::var_os("LITESTREAM_05").map(PathBuf::from);
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let found = named.unwrap_or_else(|| target.join("tools/litestream-0.5.17/bin/litestream"));
    assert!(found.is_file(), "{} is missing: run tests/setup", found.display());
    found
}

/// A folder as `litestream_ltx.py` leaves it.
fn made_by_litestream(page_size: u32) -> TempDir {
    made(page_size, &[])
}

fn made(page_size: u32, more: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/litestream_ltx.py");
    let mut make = Command::new("python3");
    make.arg(&script).arg(litestream()).arg(folder.path()).arg(page_size.to_string()).args(more);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    assert!(make.status().unwrap().success(), "{}", log());
    folder
}

fn replica(folder: &TempDir) -> Arc<FileBackend> {
    Arc::new(FileBackend::new(folder.path().join("replica")))
}

fn restore_txid(folder: &TempDir, txid: Txid) -> (Vec<u8>, RestoreReport) {
    let out = tempfile::tempdir().unwrap();
    let mut request = request(&out.path().join("out.db"), Target::Latest);
    request.txid = Some(txid);
    let report = run(restore(&[named("test", replica(folder))], &request, &Silent)).unwrap();
    (std::fs::read(out.path().join("out.db")).unwrap(), report)
}

/// The states that Litestream restored, with what their file's name says after `prefix`.
fn states(folder: &TempDir, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().strip_prefix(prefix).map(str::to_owned);
    let files = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path());
    files.filter_map(|path| Some((name(&path)?, std::fs::read(&path).unwrap()))).collect()
}

/// Every state that Litestream restored is restored to the same bytes, and the newest is the source.
fn every_state_is_the_same(page_size: u32) {
    let folder = made_by_litestream(page_size);
    for level in [0, 1, 2, 3, 9] {
        let files = std::fs::read_dir(folder.path().join(format!("replica/ltx/{level}"))).unwrap().count();
        assert!(files > 0, "Litestream wrote nothing to level {level}");
    }
    let (restored, report) = restore_from(replica(&folder), Target::Latest).unwrap();
    assert!(restored == std::fs::read(folder.path().join("source.db")).unwrap(), "not the source");
    assert!(restored == std::fs::read(folder.path().join("expected.db")).unwrap(), "not what Litestream restores");
    assert_eq!((report.proof, report.position()), (Proof::Checksums, None));
    assert!(report.to_string().contains("Litestream 0.5 wrote this history"), "{report}");

    let txids = states(&folder, "txid-");
    assert_eq!(txids.len(), 4);
    for (txid, expected) in txids {
        let wanted: Txid = txid.parse().unwrap();
        let (restored, report) = restore_txid(&folder, wanted);
        assert_eq!(report.reached, Reached::Txid(wanted));
        assert!(restored == expected, "TXID {txid}");
    }
    // The times of the store are those of the last copy, and mean nothing.
    for key in walk_all(&folder.path().join("replica")) {
        let file = std::fs::File::options().write(true).open(folder.path().join("replica").join(key)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let times = states(&folder, "time-");
    assert_eq!(times.len(), 3);
    for (time, expected) in times {
        let wanted: jiff::Timestamp = time.parse().unwrap();
        let target = Target::Time(lightship::types::Timestamp(wanted.as_millisecond() as u64));
        let (restored, report) = restore_from(replica(&folder), target).unwrap();
        assert!(restored == expected, "{time}: {report}");
    }
}

#[test]
fn what_litestream_05_wrote_is_restored_as_litestream_restores_it_with_pages_of_512_bytes() {
    every_state_is_the_same(512);
}

#[test]
fn what_litestream_05_wrote_is_restored_as_litestream_restores_it_with_pages_of_4096_bytes() {
    every_state_is_the_same(4096);
}

#[test]
fn what_litestream_05_wrote_is_restored_as_litestream_restores_it_with_pages_of_65536_bytes() {
    every_state_is_the_same(65_536);
}

/// What is left when Litestream has merged its files and removed what it merged: the newest state alone.
fn what_compaction_leaves_is_the_source(page_size: u32) {
    let folder = made(page_size, &["compacted"]);
    let keys = walk_all(&folder.path().join("replica"));
    let first = keys.iter().filter(|key| key.starts_with("ltx/0/")).min().unwrap();
    assert!(!first.contains("/0000000000000001-"), "nothing has been removed: {keys:?}");
    let (restored, report) = restore_from(replica(&folder), Target::Latest).unwrap();
    assert!(restored == std::fs::read(folder.path().join("source.db")).unwrap(), "not the source: {report}");
    assert!(restored == std::fs::read(folder.path().join("expected.db")).unwrap(), "not what Litestream restores");
    let options = Options { all: true, full: true, scratch: folder.path().to_owned(), parallelism: 4, had: None };
    let found = run(verify(&named("test", replica(&folder)), None, &options, &Silent));
    assert_eq!(found.outcome(), Outcome::Ok, "{found}");
    assert_eq!(found.checked[0].objects, keys.len());
    let last = folder.path().join("replica").join(planned(&folder).last().unwrap());
    let mut bytes = std::fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&last, bytes).unwrap();
    let found = run(verify(&named("test", replica(&folder)), None, &options, &Silent));
    assert_eq!(found.outcome(), Outcome::Failed, "{found}");
}

#[test]
fn what_litestream_05_left_after_compaction_is_the_source_with_pages_of_1024_bytes() {
    what_compaction_leaves_is_the_source(1024);
}

#[test]
fn what_litestream_05_left_after_compaction_is_the_source_with_pages_of_2048_bytes() {
    what_compaction_leaves_is_the_source(2048);
}

#[test]
fn what_litestream_05_left_after_compaction_is_the_source_with_pages_of_8192_bytes() {
    what_compaction_leaves_is_the_source(8192);
}

#[test]
fn what_litestream_05_left_after_compaction_is_the_source_with_pages_of_16384_bytes() {
    what_compaction_leaves_is_the_source(16_384);
}

#[test]
fn what_litestream_05_left_after_compaction_is_the_source_with_pages_of_32768_bytes() {
    what_compaction_leaves_is_the_source(32_768);
}

/// The keys of the files that a restore of the newest state needs.
fn planned(folder: &TempDir) -> Vec<String> {
    let request = request(&folder.path().join("out.db"), Target::Latest);
    let plan = run(lightship::restore::plan(&[named("test", replica(folder))], &request, &Silent)).unwrap().to_string();
    plan.lines().filter_map(|l| Some(l.strip_prefix("ltx ")?.trim().split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn damage_to_an_ltx_replica_is_refused_with_the_name_of_the_file() {
    let folder = made_by_litestream(512);
    let expected = std::fs::read(folder.path().join("expected.db")).unwrap();
    // Without the later whole databases, so that a restore needs several files.
    for key in walk_all(&folder.path().join("replica")) {
        if key.contains("/0000000000000001-") && !key.contains("-0000000000000001.") {
            std::fs::remove_file(folder.path().join("replica").join(key)).unwrap();
        }
    }
    let refused = |key: &str, what: &str| match restore_from(replica(&folder), Target::Latest) {
        Err(error) => assert!(error.to_string().contains(key), "{what}: {error}"),
        Ok((restored, _)) => assert!(restored == expected, "{key}, {what}: wrong bytes"),
    };
    let keys = planned(&folder);
    assert!(keys.len() > 1, "{keys:?}");
    for key in &keys {
        let path = folder.path().join("replica").join(key);
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len()).step_by((sound.len() / 40).max(1)) {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, damaged).unwrap();
            refused(key, &format!("byte {at}"));
        }
        for keep in [0, 50, 100, sound.len() / 2, sound.len() - 1] {
            std::fs::write(&path, &sound[..keep]).unwrap();
            let error = restore_from(replica(&folder), Target::Latest).unwrap_err().to_string();
            assert!(error.contains(key.as_str()), "cut to {keep}: {error}");
        }
        std::fs::write(&path, &sound).unwrap();
    }
    // Two files change places.
    let [first, last] = [&keys[0], &keys[keys.len() - 1]].map(|key| folder.path().join("replica").join(key));
    let (a, b) = (std::fs::read(&first).unwrap(), std::fs::read(&last).unwrap());
    std::fs::write(&first, &b).unwrap();
    std::fs::write(&last, &a).unwrap();
    let error = restore_from(replica(&folder), Target::Latest).unwrap_err().to_string();
    assert!(error.contains(&keys[0]) && error.contains("renamed or swapped"), "{error}");
}

#[test]
fn a_missing_ltx_file_is_named() {
    let folder = made_by_litestream(512);
    for level in 1..=9 {
        let _ = std::fs::remove_dir_all(folder.path().join(format!("replica/ltx/{level}")));
    }
    let names = walk_all(&folder.path().join("replica"));
    let mut names: Vec<_> = names.iter().filter(|key| key.starts_with("ltx/0/")).collect();
    names.sort();
    std::fs::remove_file(folder.path().join("replica").join(names[20])).unwrap();
    let error = restore_from(replica(&folder), Target::Latest).unwrap_err().to_string();
    assert!(error.contains("TXID 0000000000000015 is missing"), "{error}");
    let (_, report) = restore_txid(&folder, Txid::new(20).unwrap());
    assert_eq!(report.reached, Reached::Txid(Txid::new(20).unwrap()));
}

#[test]
fn an_old_configuration_of_litestream_05_restores_and_lists() {
    let folder = made_by_litestream(4096);
    let lightship = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
        let done = command.current_dir(folder.path()).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        (text(&done.stdout), text(&done.stderr))
    };
    let (_, err) = lightship(&["restore", "-config", "litestream.yml", "app.db"]);
    assert!(err.contains("file checksums verified"), "{err}");
    let database = folder.path().join("app.db");
    assert!(std::fs::read(&database).unwrap() == std::fs::read(folder.path().join("source.db")).unwrap());
    let (txid, expected) = states(&folder, "txid-").pop().unwrap();
    lightship(&["restore", "-config", "litestream.yml", "-txid", &txid, "-o", "then.db", "app.db"]);
    assert!(std::fs::read(folder.path().join("then.db")).unwrap() == expected);

    let files = walk_all(&folder.path().join("replica")).len();
    let (all, _) = lightship(&["ltx", "-config", "litestream.yml", "-level", "all", "app.db"]);
    assert_eq!(all.lines().count(), files + 1, "{all}");
    let (nine, _) = lightship(&["ltx", "-config", "litestream.yml", "-level", "9", "-json", "app.db"]);
    let nine: serde_json::Value = serde_json::from_str(&nine).unwrap();
    assert_eq!(nine[0]["min_txid"], "0000000000000001");
    let (generations, _) = lightship(&["generations", "-config", "litestream.yml", "app.db"]);
    assert!(generations.contains("file  ltx"), "{generations}");
}

/// What Litestream 0.3 or Lightship wrote can lie beside what Litestream 0.5 wrote, in one folder.
#[test]
fn of_two_kinds_side_by_side_the_newest_is_restored_unless_told_otherwise() {
    let folder = made_by_litestream(512);
    let recording = eventful(512, true);
    let replica_path = folder.path().join("replica");
    for (key, (bytes, _)) in &recording.store.objects {
        let path = replica_path.join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    // The recording's commits are of 2023.
    let (restored, report) = restore_from(replica(&folder), Target::Latest).unwrap();
    assert!(matches!(report.reached, Reached::Txid(_)));
    assert!(restored == std::fs::read(folder.path().join("expected.db")).unwrap());
    let then = recording.states[2].time;
    let (restored, _) = restore_from(replica(&folder), Target::Time(then)).unwrap();
    assert!(restored == recording.states[2].bytes);
    let mut request = request(&folder.path().join("out.db"), Target::Latest);
    request.generation = Some(super::recording::GENERATION);
    run(restore(&[named("test", replica(&folder))], &request, &Silent)).unwrap();
    assert!(std::fs::read(folder.path().join("out.db")).unwrap() == recording.states.last().unwrap().bytes);
}
