//! `verify` on replicas that are damaged in every way: what it calls sound can be restored, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use lightship::history::{ObjectName, Target};
use lightship::restore::Silent;
use lightship::segment::{Decoder, Encoder, Seal};
use lightship::types::{Generation, Index, Offset, Position};
use lightship::verify::{Options, Outcome, Verification, verify};
use lightship::wal::{Chain, FRAME_HEADER_BYTES, WAL_HEADER_BYTES, WalHeader, frame_bytes};

use super::recording::{GENERATION, Recording, eventful};
use super::store::MemoryStore;
use super::{named, restore_from, run};

pub fn verified(store: &MemoryStore) -> Verification {
    verified_knowing(store, None)
}

fn verified_knowing(store: &MemoryStore, had: Option<Position>) -> Verification {
    let options = Options { all: true, full: false, scratch: std::env::temp_dir(), parallelism: 4, had };
    run(verify(&named("test", Arc::new(store.clone())), None, &options, &Silent))
}

pub fn damage(store: &MemoryStore, key: &str, how: impl FnOnce(&mut Vec<u8>)) -> MemoryStore {
    let mut damaged = store.clone();
    let object = damaged.objects.get_mut(key).unwrap();
    let mut bytes = object.0.to_vec();
    how(&mut bytes);
    object.0 = Bytes::from(bytes);
    damaged
}

/// Failed, with an object named that is there or missing.
fn assert_failed(store: &MemoryStore, what: &str) -> Verification {
    let found = verified(store);
    assert_eq!(found.outcome(), Outcome::Failed, "{what}: {found}");
    assert!(found.faults.iter().all(|f| f.object.contains("generations/")), "{what}: {found}");
    found
}

#[test]
fn a_sound_replica_is_found_to_be_sound_and_read_whole() {
    for page_size in [512, 4096, 65_536] {
        let recording = eventful(page_size, true);
        let found = verified(&recording.store);
        assert_eq!(found.outcome(), Outcome::Ok, "{found}");
        assert_eq!(found.checked[0].objects, recording.store.objects.len());
        assert_eq!(found.checked[0].commits as usize, recording.states.len() - 1);
        assert!(found.checked[0].proved);
    }
    let unsealed = verified(&eventful(512, false).store);
    assert_eq!(unsealed.outcome(), Outcome::Ok, "{unsealed}");
    assert!(!unsealed.checked[0].proved && unsealed.to_string().contains("checksums are all there is"), "{unsealed}");
    assert_eq!(verified(&MemoryStore::default()).outcome(), Outcome::Inconclusive);
}

#[test]
fn every_flipped_bit_that_changes_a_restore_is_found() {
    for sealed in [true, false] {
        let recording = eventful(512, sealed);
        let last = &recording.states.last().unwrap().bytes;
        let mut found = 0;
        for key in recording.store.keys() {
            let len = recording.store.objects[&key].0.len();
            for at in (0..len).step_by((len / 30).max(1)).chain(len.saturating_sub(20)..len) {
                let store = damage(&recording.store, &key, |bytes| bytes[at] ^= 1 << (at % 8));
                if verified(&store).outcome() == Outcome::Failed {
                    found += 1;
                    continue;
                }
                // LZ4 can say the same thing in two ways.
                let (restored, _) = restore_from(Arc::new(store), Target::Latest).unwrap();
                assert!(restored == *last, "{key} byte {at}");
            }
        }
        assert!(found > 100);
    }
}

#[test]
fn every_object_that_is_cut_short_is_found() {
    for sealed in [true, false] {
        let recording = eventful(512, sealed);
        for key in recording.store.keys() {
            let len = recording.store.objects[&key].0.len();
            for keep in [0, 1, len / 2, len - 1] {
                let found =
                    assert_failed(&damage(&recording.store, &key, |b| b.truncate(keep)), &format!("{key} {keep}"));
                assert!(found.faults.iter().any(|f| f.object == key), "{key} cut to {keep}: {found}");
            }
        }
    }
}

#[test]
fn every_object_that_is_missing_is_found_unless_nothing_needs_it() {
    for sealed in [true, false] {
        let recording = eventful(512, sealed);
        let keys = recording.store.keys();
        let last = keys.last().unwrap();
        for key in &keys {
            let mut store = recording.store.clone();
            store.objects.remove(key);
            if verified(&store).outcome() == Outcome::Failed {
                continue;
            }
            // A later snapshot only saves time, and what was last only the database can miss. Without seals, nothing
            // says where an index ended.
            let later_snapshot = key.contains("/snapshots/") && !key.contains("/00000000.");
            let next = keys.iter().skip_while(|k| *k != key).nth(1).map_or("", |next| next.split('_').next().unwrap());
            let ends_index = !key.starts_with(next);
            assert!(later_snapshot || key == last || !sealed && ends_index, "{key}");
        }
    }
}

#[test]
fn an_end_that_is_cut_off_is_found_by_who_knows_where_it_was() {
    let recording = eventful(512, true);
    let at = |state: &super::recording::State| {
        Some(Position { generation: GENERATION, index: state.at.0, offset: state.at.1 })
    };
    let had = at(recording.states.last().unwrap());
    assert_eq!(verified_knowing(&recording.store, had).outcome(), Outcome::Ok);
    let mut store = recording.store.clone();
    let last = store.keys().pop().unwrap();
    store.objects.remove(&last);
    assert_eq!(verified(&store).outcome(), Outcome::Ok);
    let found = verified_knowing(&store, had);
    assert!(found.outcome() == Outcome::Failed && found.to_string().contains("its end is gone"), "{found}");
    let earlier = at(recording.states.iter().rfind(|state| Some(state.at.0) < had.map(|p| p.index)).unwrap());
    assert_eq!(verified_knowing(&store, earlier).outcome(), Outcome::Ok);
}

#[test]
fn objects_that_changed_places_or_stand_in_two_are_found() {
    let recording = eventful(512, true);
    let keys = recording.store.keys();
    for (number, key) in keys.iter().enumerate() {
        for other in &keys[number + 1..] {
            let mut store = recording.store.clone();
            let (a, b) = (store.objects[key].clone(), store.objects[other].clone());
            store.objects.insert(key.clone(), b.clone());
            store.objects.insert(other.clone(), a.clone());
            assert_failed(&store, &format!("{key} and {other} changed places"));
            let mut store = recording.store.clone();
            store.objects.insert(other.clone(), a);
            assert_failed(&store, &format!("{key} also stands for {other}"));
        }
        let elsewhere = ObjectName::Segment(GENERATION, Index::new(9).unwrap(), Offset(0)).key().unwrap();
        let forked = key.replace(&GENERATION.to_string(), &Generation(7).to_string());
        for copy in [elsewhere, forked] {
            let mut store = recording.store.clone();
            store.objects.insert(copy.clone(), store.objects[key].clone());
            assert_failed(&store, &format!("{key} copied to {copy}"));
        }
    }
}

/// The object's data and seal.
pub fn decoded(store: &MemoryStore, key: &str) -> (Vec<u8>, Seal) {
    let mut decoder = Decoder::new(&store.objects[key].0[..]);
    let mut data = Vec::new();
    while let Some(block) = decoder.next_block().unwrap() {
        data.extend_from_slice(block);
    }
    (data, decoder.finish().unwrap().unwrap())
}

pub fn encoded(store: &MemoryStore, key: &str, data: &[u8], seal: Seal) -> MemoryStore {
    let mut encoder = Encoder::new(Vec::new(), data.len() as u64);
    encoder.write(data).unwrap();
    let (bytes, _) = encoder.finish(seal).unwrap();
    damage(store, key, |object| *object = bytes)
}

#[test]
fn a_wrong_page_under_a_seal_that_fits_is_found() {
    let recording = eventful(512, true);
    // In a snapshot: the content hash is that of the wrong page.
    let snapshot = ObjectName::Snapshot(GENERATION, Index::new(2).unwrap()).key().unwrap();
    let (mut data, seal) = decoded(&recording.store, &snapshot);
    data[700] ^= 1;
    let found = assert_failed(&encoded(&recording.store, &snapshot, &data, seal), "snapshot");
    assert!(found.faults.iter().any(|f| f.object == snapshot && f.what.contains("digest")), "{found}");
    // In a segment: content hash and all checksums of the WAL are those of the wrong page.
    let segment = ObjectName::Segment(GENERATION, Index::new(3).unwrap(), Offset(0)).key().unwrap();
    let (mut data, mut seal) = decoded(&recording.store, &segment);
    let mut chain = Chain::begin(&WalHeader::parse(&data).unwrap());
    // The last frame: of the others, a later one may hold the same page.
    let last = data.len() - frame_bytes(seal.page_size);
    data[last + FRAME_HEADER_BYTES + 300] ^= 1;
    for frame in data[WAL_HEADER_BYTES..].chunks_mut(frame_bytes(seal.page_size)) {
        chain.adopt(frame).unwrap();
    }
    seal.checksum_after = chain.checksum;
    let found = assert_failed(&encoded(&recording.store, &segment, &data, seal), "segment");
    assert!(found.faults.iter().any(|f| f.object == segment && f.what.contains("digest")), "{found}");
}

#[test]
fn what_comes_after_a_fault_is_still_checked() {
    let recording: Recording = eventful(512, true);
    let keys = recording.store.keys();
    let segments: Vec<_> = keys.iter().filter(|key| key.contains("/wal/")).collect();
    let (first, last) = (segments[0], segments[segments.len() - 1]);
    let store = damage(&recording.store, first, |bytes| bytes.truncate(40));
    let store = damage(&store, last, |bytes| bytes.truncate(40));
    let found = assert_failed(&store, "two");
    let named: Vec<_> = found.faults.iter().map(|f| &f.object).collect();
    assert!(named.contains(&first) && named.contains(&last), "{found}");
}
