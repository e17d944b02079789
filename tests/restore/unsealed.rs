//! Histories without seals, as Litestream 0.3 writes them. Its replicas are compared with its own restore in
//! `litestream.rs`; here are the cases that it does not write every day.

use std::sync::Arc;

use lightship::history::{ObjectName, Target};
use lightship::restore::Proof;
use lightship::segment::{Decoder, Seal, Tail};
use lightship::types::{Index, Offset, Timestamp};

use super::recording::{GENERATION, Recording, STEP_MS, eventful};
use super::store::MemoryStore;
use super::{at, refusal, restore_from};

fn raw(store: &MemoryStore, key: &str) -> Vec<u8> {
    let mut decoder = Decoder::new(&*store.objects[key].0);
    let mut bytes = Vec::new();
    while let Some(block) = decoder.next_block().unwrap() {
        bytes.extend_from_slice(block);
    }
    bytes
}

fn packed(raw: &[u8]) -> Vec<u8> {
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut frame, raw).unwrap();
    frame.finish().unwrap()
}

fn segment(index: u32, offset: usize) -> String {
    ObjectName::Segment(GENERATION, Index::new(index).unwrap(), Offset(offset as u64)).key().unwrap()
}

/// Replaces the segments of `index` by pieces that end at `cuts` and at the end.
fn recut(store: &MemoryStore, index: u32, cuts: &[usize]) -> MemoryStore {
    let mut recut = store.clone();
    let keys: Vec<_> = store.keys().into_iter().filter(|k| k.contains(&format!("wal/{index:08x}_"))).collect();
    let whole: Vec<u8> = keys.iter().flat_map(|key| raw(store, key)).collect();
    let time = store.objects[keys.last().unwrap()].1;
    keys.iter().for_each(|key| drop(recut.objects.remove(key)));
    let ends = cuts.iter().copied().chain([whole.len()]);
    for (start, end) in std::iter::once(0).chain(cuts.iter().copied()).zip(ends) {
        recut.put(&segment(index, start), packed(&whole[start..end]), time);
    }
    recut
}

#[test]
fn every_page_size_is_restored_byte_for_byte() {
    for page_size in [512, 1024, 4096, 65_536] {
        let recording = eventful(page_size, false);
        for object in recording.store.objects.values() {
            assert_eq!(Seal::from_tail(&object.0, object.0.len() as u64), Ok(Tail::Unsealed));
        }
        let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
        assert!(restored == recording.states.last().unwrap().bytes, "page size {page_size}");
        assert_eq!(report.proof, Proof::Checksums);
        assert!(report.to_string().contains("there is no digest"), "{report}");
    }
}

#[test]
fn segments_may_be_cut_anywhere_even_within_a_frame() {
    let recording = eventful(1024, false);
    for cuts in [&[32][..], &[7, 40, 1000, 5000], &[32, 32 + 1048, 32 + 2 * 1048 + 1]] {
        let store = recut(&recording.store, 2, cuts);
        let (restored, _) = restore_from(Arc::new(store), Target::Latest).unwrap();
        assert!(restored == recording.states.last().unwrap().bytes, "{cuts:?}");
    }
}

#[test]
fn frames_that_were_never_committed_are_dropped_and_counted() {
    let recording = eventful(1024, false);
    let whole = raw(&recording.store, &segment(3, 0));
    // The last transaction loses its last frame.
    let mut store = recording.store.clone();
    store.put(&segment(3, 0), packed(&whole[..whole.len() - 1048]), u64::from(u32::MAX));
    let (restored, report) = restore_from(Arc::new(store), Target::Latest).unwrap();
    let state = &recording.states[recording.states.len() - 2];
    assert_eq!(at(&report), state.at);
    assert!(restored == state.bytes);
    assert!(report.uncommitted.iter().all(|u| u.frames > 0 && u.index.get() == 3));
}

#[test]
fn a_time_stops_at_the_first_segment_that_was_stored_later() {
    let recording = eventful(1024, false);
    for n in [3, 9, 13] {
        let state = &recording.states[n];
        // The store's time of an object is that of its last commit here.
        let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Time(state.time)).unwrap();
        let expected = recording.states.iter().rfind(|s| s.at == at(&report)).unwrap();
        assert!(expected.time <= state.time && expected.bytes == restored);
    }
    let early = Timestamp(recording.states[0].time.0 - STEP_MS);
    assert!(refusal(Arc::new(recording.store), Target::Time(early)).to_string().contains("first restorable point"));
}

#[test]
fn a_snapshot_from_some_instant_of_its_index_is_good_enough() {
    let mut recording = eventful(1024, false);
    // Half of its pages are those at the end of the index, as when the application checkpoints meanwhile.
    let end = recording.states.iter().rfind(|s| s.at.0.get() == 2).unwrap().bytes.clone();
    let key = ObjectName::Snapshot(GENERATION, Index::new(2).unwrap()).key().unwrap();
    let mut torn = raw(&recording.store, &key);
    for (n, page) in torn.chunks_exact_mut(1024).enumerate() {
        if n % 2 == 0 && (n + 1) * 1024 <= end.len() {
            page.copy_from_slice(&end[n * 1024..][..1024]);
        }
    }
    recording.store.put(&key, packed(&torn), u64::from(u32::MAX));
    let (restored, _) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
}

#[test]
fn holes_and_missing_wals_are_refused_with_a_name() {
    let recording = eventful(1024, false);
    let store = &recording.store;
    let keys = store.keys();
    let without = |key: &str| {
        let mut store = store.clone();
        store.objects.remove(key);
        refusal(Arc::new(store), Target::Latest).to_string()
    };
    let in_index_2: Vec<_> = keys.iter().filter(|k| k.contains("wal/00000002_")).collect();
    assert!(without(in_index_2[0]).contains(in_index_2[0]));
    let text = without(&segment(3, 0).replace("00000003_", "00000002_"));
    assert!(text.contains("wal/00000002_00000000.wal.lz4 is missing"), "{text}");

    // Index 3 is called 2, after the snapshot of 2 and all segments of 2 have gone: the salts show what is missing.
    let mut skipped = store.clone();
    for key in keys.iter().filter(|k| k.contains("/00000002")) {
        skipped.objects.remove(key);
    }
    let moved = skipped.objects.remove(&segment(3, 0)).unwrap();
    skipped.objects.insert(segment(2, 0), moved);
    let text = refusal(Arc::new(skipped), Target::Latest).to_string();
    assert!(text.contains(&segment(2, 0)) && text.contains("a whole WAL between them is missing"), "{text}");
}

#[test]
fn a_flipped_bit_is_refused_with_the_name_of_its_object_or_changes_nothing() {
    let recording = eventful(512, false);
    let expected = &recording.states.last().unwrap().bytes;
    for key in recording.store.keys().iter().filter(|k| k.contains("/00000002") || k.contains("/00000003")) {
        let len = recording.store.objects[key].0.len();
        for at in (0..len).step_by(len / 20) {
            let mut store = recording.store.clone();
            let mut bytes = store.objects[key].0.to_vec();
            bytes[at] ^= 0x10;
            store.put(key, bytes, 0);
            match restore_from(Arc::new(store), Target::Latest) {
                Err(error) => assert!(error.to_string().contains(key.as_str()), "{key} byte {at}: {error}"),
                // LZ4 can say the same thing in two ways: copying from elsewhere in a run of zeros, say.
                Ok((restored, _)) => assert!(restored == *expected, "{key} byte {at}"),
            }
        }
    }
}

#[test]
fn an_uncommitted_transaction_larger_than_memory_is_dropped() {
    let mut recording = Recording::new(4096, false);
    recording.commit("INSERT INTO t VALUES (1, randomblob(20000))");
    recording.ship();
    let state = recording.states.last().unwrap().clone();
    recording.commit("INSERT INTO t VALUES (2, zeroblob(20000000)), (3, randomblob(4000000))");
    recording.ship();
    let key = recording.store.keys().last().unwrap().clone();
    let whole = raw(&recording.store, &key);
    let (restored, _) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
    recording.store.put(&key, packed(&whole[..whole.len() - 4120]), u64::from(u32::MAX));
    let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
    assert!(restored == state.bytes);
    assert_eq!(report.uncommitted[0].frames, whole.len() / 4120 - 1);
}
