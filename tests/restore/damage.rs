//! Damaged replicas: whatever happens to an object, a restore is refused with its name, or gives the right bytes.

use std::sync::Arc;

use bytes::Bytes;
use lightship::history::{ObjectName, Target};
use lightship::restore::RestoreError;

use super::recording::{Recording, State, eventful};
use super::restore_from;
use super::store::MemoryStore;

/// The targets that together touch every object.
fn targets(recording: &Recording) -> Vec<(Target, State)> {
    let states = &recording.states;
    let at = |n: usize| (Target::Time(states[n].time), states[n].clone());
    vec![(Target::Latest, states.last().unwrap().clone()), at(2), at(9), at(11)]
}

/// Restores every target from the damaged `store`: the right state, or an error for which `named` holds.
fn check(recording: &Recording, store: &MemoryStore, what: &str, named: impl Fn(&RestoreError) -> bool) -> usize {
    let mut refused = 0;
    for (target, state) in targets(recording) {
        match restore_from(Arc::new(store.clone()), target) {
            Ok((restored, report)) => {
                assert_eq!(report.time, state.time, "{what}, {target:?}");
                assert!(restored == state.bytes, "{what}, {target:?}: wrong bytes");
            }
            Err(error) => {
                assert!(named(&error), "{what}, {target:?}: {error}");
                refused += 1;
            }
        }
    }
    refused
}

fn damage(store: &MemoryStore, key: &str, how: impl FnOnce(&mut Vec<u8>)) -> MemoryStore {
    let mut damaged = store.clone();
    let object = damaged.objects.get_mut(key).unwrap();
    let mut bytes = object.0.to_vec();
    how(&mut bytes);
    object.0 = Bytes::from(bytes);
    damaged
}

#[test]
fn a_flipped_bit_is_refused_with_the_name_of_its_object() {
    let recording = eventful(512, true);
    for key in recording.store.keys() {
        let len = recording.store.objects[&key].0.len();
        let sampled = (0..len).step_by((len / 12).max(1)).chain(len.saturating_sub(40)..len);
        for at in sampled {
            let store = damage(&recording.store, &key, |bytes| bytes[at] ^= 1 << (at % 8));
            check(&recording, &store, &format!("{key} byte {at}"), |e| e.to_string().contains(&key));
        }
    }
}

#[test]
fn an_object_cut_short_is_refused_with_its_name() {
    let recording = eventful(512, true);
    for key in recording.store.keys() {
        let len = recording.store.objects[&key].0.len();
        for keep in [0, 1, 7, len / 3, len / 2, len - 250, len - 28, len - 20, len - 1] {
            let store = damage(&recording.store, &key, |bytes| bytes.truncate(keep));
            check(&recording, &store, &format!("{key} cut to {keep}"), |e| e.to_string().contains(&key));
        }
    }
}

#[test]
fn a_missing_object_is_refused_with_its_name_or_that_of_its_neighbour() {
    let recording = eventful(512, true);
    let keys: Vec<String> = recording.store.keys();
    let names: Vec<ObjectName> = keys.iter().map(|k| ObjectName::parse(k).unwrap()).collect();
    let last = names.iter().max().unwrap();
    for (key, name) in keys.iter().zip(&names) {
        let mut store = recording.store.clone();
        store.objects.remove(key);
        if name == last {
            // Nothing shows that there was one more object.
            let (restored, _) = restore_from(Arc::new(store), Target::Latest).unwrap();
            assert!(recording.states.iter().any(|s| s.bytes == restored));
            continue;
        }
        let before = names.iter().filter(|n| *n < name).max().and_then(ObjectName::key);
        let after = names.iter().filter(|n| *n > name).min().and_then(ObjectName::key);
        let near: Vec<&String> = [Some(key.clone()), before, after]
            .iter()
            .flatten()
            .map(|k| keys.iter().find(|x| *x == k).unwrap())
            .collect();
        let named = |e: &RestoreError| {
            let text = e.to_string();
            near.iter().any(|k| text.contains(*k))
                || matches!(name, ObjectName::Snapshot(..)) && text.contains("0123456789abcdef")
        };
        check(&recording, &store, &format!("{key} missing"), named);
    }
}

#[test]
fn swapped_and_renamed_objects_are_refused_with_a_name() {
    let recording = eventful(512, true);
    let keys = recording.store.keys();
    for (a, b) in keys.iter().zip(keys.iter().skip(1)) {
        let mut swapped = recording.store.clone();
        let (x, y) = (swapped.objects[a].clone(), swapped.objects[b].clone());
        swapped.objects.insert(a.clone(), y);
        swapped.objects.insert(b.clone(), x);
        let named = |e: &RestoreError| e.to_string().contains(a) || e.to_string().contains(b);
        assert!(check(&recording, &swapped, &format!("{a} and {b} swapped"), named) > 0);

        let mut copied = recording.store.clone();
        copied.objects.insert(b.clone(), copied.objects[a].clone());
        assert!(check(&recording, &copied, &format!("{a} copied over {b}"), named) > 0);
    }
    // The whole generation under another name.
    let mut moved = MemoryStore::default();
    for (key, object) in &recording.store.objects {
        moved.objects.insert(key.replace("0123456789abcdef", "0123456789abcdee"), object.clone());
    }
    assert_eq!(check(&recording, &moved, "generation renamed", |e| e.to_string().contains("0123456789abcdee")), 4);
}

#[test]
fn an_object_of_another_history_is_refused() {
    let (recording, other) = (eventful(512, true), eventful(512, true));
    for key in recording.store.keys() {
        let Some(foreign) = other.store.objects.get(&key) else { continue };
        let mut mixed = recording.store.clone();
        mixed.objects.insert(key.clone(), foreign.clone());
        // The later neighbour may be the one that notices.
        check(&recording, &mixed, &format!("{key} from elsewhere"), |e| e.to_string().contains("generations/"));
    }
}

#[test]
fn an_overlap_is_refused() {
    let recording = eventful(512, true);
    let mut store = recording.store.clone();
    let key =
        store.keys().into_iter().find(|k| k.contains("wal/00000000_") && !k.ends_with("_00000000.wal.lz4")).unwrap();
    let object = store.objects[&key].clone();
    let ObjectName::Segment(generation, index, offset) = ObjectName::parse(&key).unwrap() else { panic!() };
    let earlier = ObjectName::Segment(generation, index, lightship::types::Offset(offset.0 - 536)).key().unwrap();
    store.objects.insert(earlier.clone(), object);
    check(&recording, &store, "overlap", |e| e.to_string().contains(&earlier) || e.to_string().contains(&key));
}
