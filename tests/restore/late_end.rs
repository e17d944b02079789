//! The end of an index that came too late, and whose writer died before it could take it back: it stands within an
//! object that was merged meanwhile, and says nothing.

use std::sync::Arc;

use lightship::history::{ObjectName, Target};
use lightship::segment::{Encoder, Seal, merge};
use lightship::ship::find_end;
use lightship::types::{Index, Timestamp, WriterId};
use lightship::verify::Outcome;
use lightship::wal::Salts;

use super::recording::{GENERATION, Recording, STEP_MS};
use super::store::MemoryStore;
use super::verify::{decoded, verified};
use super::{at, named, restore_from, run};

fn segments(store: &MemoryStore) -> Vec<String> {
    store.keys().into_iter().filter(|key| key.contains("/wal/")).collect()
}

/// A recording whose first segments have become one, with `late` ends where some of them stood.
fn with_late_ends(late: &[usize]) -> Recording {
    let mut recording = Recording::new(1024, true);
    for n in 1..=4 {
        recording.commit(&format!("INSERT INTO t VALUES ({n}, randomblob({}))", n * 700));
        recording.ship();
    }
    let parts = segments(&recording.store);
    let objects: Vec<_> = parts.iter().map(|key| recording.store.objects[key].0.clone()).collect();
    let (merged, _) = merge(objects.iter().map(AsRef::as_ref)).unwrap();
    let ends: Vec<_> =
        late.iter().map(|n| (parts[*n].clone(), end_behind(&decoded(&recording.store, &parts[n - 1]).1))).collect();
    parts.iter().for_each(|key| drop(recording.store.objects.remove(key)));
    recording.store.put(&parts[0], merged, 0);
    ends.into_iter().for_each(|(key, end)| recording.store.put(&key, end, 0));
    recording
}

fn end_behind(last: &Seal) -> Vec<u8> {
    let end = Seal {
        from: last.to,
        size_before: last.size_after,
        digest_before: last.digest_after,
        raw_bytes: 0,
        salts: Salts::default(),
        checksum_before: last.checksum_after,
        writer: WriterId(2),
        commits: Vec::new(),
        ..last.clone()
    };
    Encoder::new(Vec::new(), 0).finish(end).unwrap().0
}

/// Every state is restored by its time and by its position, and everybody agrees where the history ends.
fn assert_whole(recording: &Recording) {
    let store = Arc::new(recording.store.clone());
    for state in &recording.states {
        for target in [Target::Time(state.time), Target::Position(state.at.0, state.at.1)] {
            let (restored, report) = restore_from(store.clone(), target).unwrap();
            assert!(restored == state.bytes && report.time == state.time, "{target:?}: {report}");
        }
    }
    let last = recording.states.last().unwrap();
    for target in [Target::Latest, Target::Index(last.at.0), Target::Time(Timestamp(last.time.0 + STEP_MS))] {
        let (restored, report) = restore_from(store.clone(), target).unwrap();
        assert!(restored == last.bytes && at(&report) == last.at, "{target:?}: {report}");
        assert_eq!(report.beyond_end, matches!(target, Target::Time(_)));
    }
    let verification = verified(&recording.store);
    assert_eq!(verification.outcome(), Outcome::Ok, "{verification:?}");
    assert_eq!(verification.checked[0].end.unwrap().1, last.time);
    let mut source = run(lightship::restore::Source::open(&named("test", store.clone()))).unwrap();
    let extents = run(source.extents()).unwrap();
    assert_eq!(
        extents.iter().map(|extent| (extent.latest, extent.cost.is_some())).collect::<Vec<_>>(),
        [(last.time, true)]
    );
    let end = run(find_end(store.as_ref(), WriterId(1), None)).unwrap().end.unwrap();
    assert_eq!((end.point.generation, end.point.index, end.point.offset), (GENERATION, last.at.0, last.at.1));
    assert!(end.take_over.is_none());
}

#[test]
fn an_end_that_came_too_late_hides_nothing_of_the_object_in_which_it_stands() {
    for late in [&[2][..], &[1, 3]] {
        assert_whole(&with_late_ends(late));
    }
}

#[test]
fn an_end_that_came_too_late_is_passed_by_in_the_middle_of_a_history_too() {
    for late in [&[3][..], &[1, 2]] {
        let mut recording = with_late_ends(late);
        recording.commit("INSERT INTO t VALUES (100, randomblob(9000))");
        recording.ship();
        assert_whole(&recording);
        let last = segments(&recording.store).pop().unwrap();
        let end = decoded(&recording.store, &last).1;
        let name = ObjectName::Segment(GENERATION, end.to.0, end.to.1).key().unwrap();
        recording.store.put(&name, end_behind(&end), 0);
        recording.restart_wal();
        recording.commit("DELETE FROM t WHERE id < 3");
        recording.ship();
        assert_whole(&recording);
    }
}

/// The end of an index stands behind everything in it, and its history goes on behind it.
#[test]
fn an_end_that_came_in_time_is_an_end() {
    let mut recording = with_late_ends(&[2]);
    let end = decoded(&recording.store, &segments(&recording.store)[0]).1;
    let name = ObjectName::Segment(GENERATION, end.to.0, end.to.1).key().unwrap();
    recording.store.put(&name, end_behind(&end), 0);
    let found = run(find_end(&recording.store, WriterId(1), None)).unwrap().end.unwrap();
    assert_eq!(found.point.index, Index::new(1).unwrap());
    let (restored, _) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
    assert_eq!(verified(&recording.store).outcome(), Outcome::Ok);
}
