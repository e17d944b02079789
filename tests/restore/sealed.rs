//! Histories that Lightship wrote.

use std::sync::Arc;

use lightship::history::Target;
use lightship::restore::{Proof, RestoreError};
use lightship::types::{Index, Timestamp};

use super::recording::{EPOCH_MS, Recording, STEP_MS, eventful};
use super::{at, refusal, restore_from};

const PAGE_SIZES: [u32; 4] = [512, 1024, 4096, 65_536];

/// What SQLite makes of database and WAL.
fn checkpointed(recording: &Recording) -> Vec<u8> {
    recording.commit("PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::read(recording.file("")).unwrap()
}

#[test]
fn the_latest_state_is_restored_byte_for_byte() {
    for page_size in PAGE_SIZES {
        let recording = eventful(page_size, true);
        let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
        let last = recording.states.last().unwrap();
        assert!(restored == last.bytes, "page size {page_size}");
        assert!(restored == checkpointed(&recording), "page size {page_size}: not what SQLite has");
        assert_eq!((report.proof, report.time), (Proof::Digest, last.time));
        assert_eq!(at(&report), last.at);
    }
}

#[test]
fn every_commit_can_be_restored_by_its_time_to_the_millisecond() {
    let recording = eventful(1024, true);
    for (state, next) in recording.states.iter().zip(recording.states.iter().skip(1).map(Some).chain([None])) {
        let last_moment = next.map_or(state.time.0 + 500, |n| n.time.0 - 1);
        for time in [state.time, Timestamp(last_moment)] {
            let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Time(time)).unwrap();
            assert_eq!(report.time, state.time, "asked for {time}");
            assert!(restored == state.bytes, "asked for {time}");
            assert_eq!(report.beyond_end, next.is_none() && time > state.time);
        }
    }
}

#[test]
fn times_of_files_do_not_matter() {
    let recording = eventful(1024, true);
    let mut store = recording.store.clone();
    for (n, object) in store.objects.values_mut().enumerate() {
        object.1 = (n as u64 * 7_919_000) % 50_000_000;
    }
    let wanted = &recording.states[recording.states.len() / 2];
    let (restored, report) = restore_from(Arc::new(store.clone()), Target::Time(wanted.time)).unwrap();
    assert_eq!(report.time, wanted.time);
    assert!(restored == wanted.bytes);
    let (restored, _) = restore_from(Arc::new(store), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
}

#[test]
fn an_index_is_restored_up_to_its_end() {
    let recording = eventful(1024, true);
    for index in 0..=3 {
        let index = Index::new(index).unwrap();
        let last = recording.states.iter().rfind(|s| s.at.0 <= index).unwrap();
        let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Index(index)).unwrap();
        assert!(restored == last.bytes, "{index}");
        assert!(!report.beyond_end);
    }
    let (_, report) = restore_from(Arc::new(recording.store), Target::Index(Index::new(99).unwrap())).unwrap();
    assert!(report.beyond_end && report.to_string().contains("which is after the newest commit"));
}

#[test]
fn a_time_before_the_first_point_is_an_error_that_names_the_range() {
    let recording = eventful(1024, true);
    let error = refusal(Arc::new(recording.store), Target::Time(Timestamp(EPOCH_MS - 1)));
    let text = error.to_string();
    assert!(text.contains("2023-11-14T22:13:20.000Z to"), "{text}");
}

#[test]
fn a_time_is_found_among_many_segments_with_few_requests() {
    let mut recording = Recording::new(512, true);
    for n in 0..300 {
        recording.commit(&format!("UPDATE t SET v = {n}"));
        recording.ship();
    }
    let store = Arc::new(recording.store.clone());
    let wanted = Timestamp(EPOCH_MS + 5 * STEP_MS);
    let (restored, _) = restore_from(store.clone(), Target::Time(wanted)).unwrap();
    assert!(restored == recording.states[5].bytes);
    let requests = store.requests.lock().unwrap().len();
    // One listing, two ends, the snapshot, about log2(300) seals, and six objects.
    assert!(requests <= 22, "{requests}: {:?}", store.requests.lock().unwrap());
}

#[test]
fn a_thousand_and_one_segments_are_restored_in_the_right_order() {
    let mut recording = Recording::new(512, true);
    for n in 0..1001 {
        recording.commit(&format!("UPDATE t SET v = {n}"));
        recording.ship();
    }
    let (restored, _) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == checkpointed(&recording));
}

#[test]
fn an_unreadable_store_is_not_an_empty_one() {
    let mut recording = Recording::new(512, true);
    recording.store.unreachable = true;
    let error = refusal(Arc::new(recording.store.clone()), Target::Latest);
    assert!(matches!(error, RestoreError::Unreadable { .. }), "{error}");
    let empty = super::store::MemoryStore::default();
    let error = refusal(Arc::new(empty), Target::Latest);
    assert!(matches!(error, RestoreError::NoBackups), "{error}");
}

#[test]
fn a_newer_generation_without_a_snapshot_is_never_passed_over_silently() {
    let mut recording = eventful(1024, true);
    let newer = "fedcba9876543210";
    let orphan = recording.store.objects.iter().find(|(k, _)| k.ends_with("00000003_00000000.wal.lz4")).unwrap();
    let (key, object) = (orphan.0.replace("0123456789abcdef", newer), (orphan.1.0.clone(), u64::MAX / 2_000_000));
    recording.store.objects.insert(key, object);
    let error = refusal(Arc::new(recording.store), Target::Latest).to_string();
    assert!(
        error.contains(&format!("generation {newer} is newer but has no snapshot; use -generation 0123456789abcdef")),
        "{error}"
    );
}

#[test]
fn foreign_files_are_ignored() {
    let mut recording = eventful(1024, true);
    for key in [
        "generations/0123456789abcdef/wal/00000009_00000000.wal.lz4.tmp",
        "generations/0123456789abcdef/wal/sub/00000009_00000000.wal.lz4",
        "generations/0123456789abcdef/wal/0000000A_00000000.wal.lz4",
        "generations/0123456789abcdef/snapshots/00000009.snapshot",
        "generations/notageneration00/snapshots/00000009.snapshot.lz4",
        "generations/readme.txt",
        "lightship/claim",
    ] {
        recording.store.put(key, vec![1, 2, 3], u64::MAX / 2_000_000);
    }
    let (restored, _) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
}
