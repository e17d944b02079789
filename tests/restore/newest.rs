//! Newest objects first: the same states, and every object is read once.

use std::sync::Arc;

use lightship::history::Target;
use lightship::restore::Proof;
use lightship::types::Index;

use super::recording::{Recording, eventful};
use super::store::MemoryStore;
use super::{refusal, restore_from};

/// A database that grows and shrinks, cut into objects of any length.
fn random(page_size: u32) -> Recording {
    let mut r = Recording::new(page_size, true);
    r.commit("PRAGMA auto_vacuum = incremental; VACUUM");
    r.ship();
    for n in 1..60 {
        let sql = match fastrand::u32(0..10) {
            0 => "DELETE FROM t WHERE id % 3 = abs(random() % 3)".to_owned(),
            1 => "PRAGMA incremental_vacuum".to_owned(),
            2 => "VACUUM".to_owned(),
            3 => "UPDATE t SET v = randomblob(length(v))".to_owned(),
            4 => "DROP TABLE IF EXISTS u; CREATE TABLE u AS SELECT id, randomblob(900) AS v FROM t".to_owned(),
            _ => format!("INSERT INTO t VALUES ({n}, randomblob({}))", fastrand::u32(1..30_000)),
        };
        r.commit(&sql);
        if fastrand::bool() {
            // What changed nothing left no commit.
            r.commit(&format!("INSERT INTO t VALUES (-{n}, NULL)"));
            r.ship();
            if fastrand::u32(0..5) == 0 {
                r.restart_wal();
            }
        }
    }
    r.commit("INSERT INTO t VALUES (1000, NULL)");
    r.ship();
    r
}

/// One listing of each kind, and no object is asked for twice but for its seal: nothing had to be done over.
fn assert_straight(store: &MemoryStore) {
    let requests = store.requests.lock().unwrap();
    let count = |text: &str| requests.iter().filter(|request| request.starts_with(text)).count();
    assert_eq!(count("list generations/"), 1, "{requests:?}");
    for key in store.keys() {
        assert!(count(&format!("get {key}")) <= 2, "{key}: {requests:?}");
    }
}

#[test]
fn whatever_a_database_went_through_every_state_is_put_together_in_one_go() {
    for round in 0..6 {
        let recording = random([512, 1024, 4096][round % 3]);
        let last = recording.states.len() - 1;
        for n in [last, last - 1, last / 2, fastrand::usize(0..last), fastrand::usize(0..last)] {
            let state = &recording.states[n];
            let store = MemoryStore { requests: Arc::default(), ..recording.store.clone() };
            let target = if n == last { Target::Latest } else { Target::Time(state.time) };
            let (restored, report) = restore_from(Arc::new(store.clone()), target).unwrap();
            assert!(restored == state.bytes, "state {n} of {last}");
            assert_ne!(report.proof, Proof::Checksums);
            assert_straight(&store);
        }
    }
}

#[test]
fn objects_whose_pages_were_all_replaced_are_not_fetched() {
    let mut recording = Recording::new(512, true);
    recording.commit("INSERT INTO t VALUES (1, randomblob(9000))");
    recording.ship();
    recording.commit("VACUUM");
    recording.commit("UPDATE t SET v = randomblob(length(v))");
    recording.commit("VACUUM");
    recording.ship();
    let store = recording.store.clone();
    let (restored, _) = restore_from(Arc::new(store.clone()), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
    assert_straight(&store);
}

#[test]
fn damage_in_what_was_replaced_later_does_not_keep_a_proved_state_from_being_restored() {
    let mut recording = Recording::new(4096, true);
    let blob = |byte: &str| format!("INSERT OR REPLACE INTO t VALUES (7, CAST('{}' AS BLOB))", byte.repeat(100_000));
    recording.commit(&blob("a"));
    recording.ship();
    let victim = recording.store.keys().into_iter().find(|key| key.contains("/wal/")).unwrap();
    recording.commit(&blob("b"));
    recording.ship();
    let object = recording.store.objects.get_mut(&victim).unwrap();
    let mut bytes = object.0.to_vec();
    // The first page, which every commit replaces.
    let at = bytes.windows(6).position(|run| run == b"format").unwrap();
    bytes[at] = b'x';
    object.0 = bytes.into();
    let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes && report.proof == Proof::Digest);
    // The state that needs it is refused, with its name.
    let error = refusal(Arc::new(recording.store.clone()), Target::Time(recording.states[1].time)).to_string();
    assert!(error.contains(&victim), "{error}");
}

#[test]
fn every_commit_is_restored_by_its_position_and_nothing_else_is() {
    let recording = eventful(1024, true);
    let store = || Arc::new(recording.store.clone());
    for state in &recording.states[1..] {
        let (restored, report) = restore_from(store(), Target::Position(state.at.0, state.at.1)).unwrap();
        assert!(restored == state.bytes, "{:?}", state.at);
        assert_eq!(super::at(&report), state.at);
        for offset in [state.at.1.0 - 1, state.at.1.0 + 24] {
            let error = refusal(store(), Target::Position(state.at.0, lightship::types::Offset(offset))).to_string();
            assert!(error.contains(&format!("ends at {}:{offset}", state.at.0)), "{error}");
        }
    }
    // The beginning of an index is the end of the one before it.
    for index in 0..4 {
        let index = Index::new(index).unwrap();
        let before = recording.states.iter().rfind(|s| s.at.0 < index).unwrap_or(&recording.states[0]);
        let (restored, _) = restore_from(store(), Target::Position(index, lightship::types::Offset(0))).unwrap();
        assert!(restored == before.bytes, "{index}");
    }
    let beyond = Target::Position(Index::new(4).unwrap(), lightship::types::Offset(0));
    assert!(refusal(store(), beyond).to_string().contains("no commit of generation"));

    let unsealed = eventful(1024, false);
    let target = Target::Position(unsealed.states[1].at.0, unsealed.states[1].at.1);
    let error = refusal(Arc::new(unsealed.store), target).to_string();
    assert!(error.contains("Litestream wrote generation"), "{error}");
}
