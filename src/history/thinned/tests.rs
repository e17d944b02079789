use std::collections::BTreeMap;

use super::*;
use crate::history::retention::Why;
use crate::history::{Entry, RangeName};
use crate::types::Level;

const GENERATION: Generation = Generation(7);

fn index(n: u32) -> Index {
    Index::new(n).unwrap()
}

fn snapshot(n: u32) -> ObjectName {
    ObjectName::Snapshot(GENERATION, index(n))
}

fn segment(n: u32, offset: u64) -> ObjectName {
    ObjectName::Segment(GENERATION, index(n), Offset(offset))
}

fn range(from: u32, to: u32) -> ObjectName {
    let level = Level::ALL[0];
    ObjectName::Range(GENERATION, RangeName { from: index(from), to: index(to), time: Timestamp(1), level })
}

fn plan(keep: &[ObjectName], delete: &[ObjectName]) -> RetentionPlan {
    RetentionPlan {
        delete: delete.iter().map(|name| Entry { name: *name, stored_bytes: 1, modified: Timestamp(1) }).collect(),
        keep: keep.iter().map(|name| (*name, (Why::Current, 1))).collect::<BTreeMap<_, _>>(),
        wants_snapshot: false,
        broken: Vec::new(),
        thinned_before: Timestamp(50),
    }
}

/// While the first plan of all is being carried out.
fn during(plan: &RetentionPlan) -> Thinned {
    let none = Thinned::default();
    none.during(plan, &none.after(plan))
}

fn ends(thinned: &Thinned) -> Vec<u32> {
    thinned.ends.get(&GENERATION).into_iter().flatten().map(|index| index.get()).collect()
}

#[test]
fn a_history_may_stop_where_what_led_on_was_removed() {
    let none = Thinned::default();
    let kept = [snapshot(0), range(0, 4), snapshot(9), segment(9, 0)];
    assert_eq!(ends(&none.after(&plan(&kept, &[segment(4, 0), segment(5, 0)]))), [4]);
    assert_eq!(ends(&none.after(&plan(&kept, &[range(4, 9)]))), [4]);
    // Nothing is wrong where a range leads on.
    let kept = [snapshot(0), range(0, 4), range(4, 9), segment(9, 0)];
    assert_eq!(ends(&none.after(&plan(&kept, &[segment(2, 0), segment(4, 0)]))), [0; 0]);
    // An index of which the beginning is kept, for a named point.
    let kept = [snapshot(0), segment(0, 0), range(0, 4), segment(4, 0)];
    assert_eq!(ends(&none.after(&plan(&kept, &[segment(0, 900), segment(1, 0)]))), [0, 1]);
}

#[test]
fn what_was_missing_before_without_being_removed_stays_missing() {
    let none = Thinned::default();
    let kept = [snapshot(0), segment(0, 0), snapshot(9), segment(9, 0)];
    assert_eq!(ends(&none.after(&plan(&kept, &[segment(4, 0)]))), [0; 0]);
    // But what is known to have been removed stays known.
    let known = none.after(&plan(&kept, &[segment(1, 0)]));
    assert_eq!(ends(&known), [1]);
    assert_eq!(ends(&known.after(&plan(&kept, &[range(0, 9)]))), [1]);
    assert_eq!(ends(&known.after(&plan(&[snapshot(9), segment(9, 0)], &kept[..2]))), [0; 0]);
}

/// The first plan deletes the way on from a snapshot, and is broken off before it comes to that; a later one keeps the
/// snapshot after all, as the last state of its interval.
#[test]
fn what_a_plan_that_was_broken_off_has_deleted_is_known_to_be_removed() {
    let everything = [snapshot(0), range(0, 4), snapshot(4), segment(4, 0), snapshot(9)];
    let broken_off = during(&plan(&everything[4..], &everything[..4]));
    assert!(broken_off.deleting);
    let kept = [snapshot(0), snapshot(9)];
    let done = broken_off.after(&plan(&kept, &[segment(4, 0), snapshot(4)]));
    assert_eq!((ends(&done), done.deleting), (vec![0], false));
    // What was kept in the end stays what it was: nothing says that it may stop there.
    let whole = [snapshot(0), segment(0, 0), segment(1, 0), snapshot(9)];
    let doomed = during(&plan(&whole[3..], &whole[..3]));
    assert_eq!(ends(&doomed.after(&plan(&whole, &[]))), [0; 0]);
    assert_eq!(ends(&broken_off.after(&plan(&kept[1..], &[snapshot(0)]))), [0; 0]);
}

#[test]
fn it_is_read_as_it_was_written() {
    let kept = [snapshot(0), range(0, 4), snapshot(9)];
    let thinned = Thinned { deleting: true, ..Thinned::default().after(&plan(&kept, &[segment(4, 0)])) };
    assert_eq!(Thinned::from_json(thinned.to_json().as_bytes()), Some(thinned.clone()));
    for bad in [b"{}".to_vec(), thinned.to_json().replace(":1,", ":2,").into_bytes(), b"".to_vec()] {
        assert_eq!(Thinned::from_json(&bad), None);
    }
}
