//! Names: what is built is parsed, and nothing else.

use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = ObjectName> {
    let index = (0..=Index::MAX.get()).prop_map(|index| Index::new(index).unwrap());
    let range = (1..=u32::MAX, 1..=3_u8, 0..TIME_LIMIT.0);
    (0..3_u8, any::<u64>(), index, 0..Offset::LIMIT.0, range).prop_map(|(kind, generation, index, offset, range)| {
        let generation = Generation(generation);
        let to = index.get().checked_add(range.0).and_then(Index::new).filter(|to| *to > index);
        match (kind, to) {
            (0, _) => ObjectName::Snapshot(generation, index),
            (1, Some(to)) => {
                let (level, time) = (Level::new(range.1).unwrap(), Timestamp(range.2));
                ObjectName::Range(generation, RangeName { from: index, to, time, level })
            }
            _ => ObjectName::Segment(generation, index, Offset(offset)),
        }
    })
}

proptest! {
    #[test]
    fn what_is_built_is_parsed_to_the_same(name in name()) {
        prop_assert_eq!(ObjectName::parse(&name.key().unwrap()), Some(name));
    }

    #[test]
    fn what_is_parsed_is_built_to_the_same(name in name(), at in any::<prop::sample::Index>(), with in "[ -~]") {
        let mut key = name.key().unwrap();
        let at = at.index(key.len());
        key.replace_range(at..=at, &with);
        if let Some(parsed) = ObjectName::parse(&key) {
            prop_assert_eq!(parsed.key(), Some(key));
        }
    }

    #[test]
    fn names_sort_as_the_history_goes(a in name(), b in name()) {
        let (position, key) = (a.index().cmp(&b.index()), a.key().unwrap().cmp(&b.key().unwrap()));
        if a.generation() == b.generation() && matches!((a, b), (ObjectName::Segment(..), ObjectName::Segment(..))) {
            prop_assert_eq!(a.cmp(&b), position.then(a.offset().cmp(&b.offset())));
            prop_assert_eq!(a.cmp(&b), key, "a store's listing is in the order of the history");
        }
    }
}

#[test]
fn an_offset_that_no_reader_finds_has_no_name() {
    let name = |offset| ObjectName::Segment(Generation(1), Index::default(), Offset(offset));
    assert_eq!(name(Offset::LIMIT.0).key(), None);
    assert!(name(Offset::LIMIT.0 - 1).key().is_some_and(|key| key.ends_with("00000000_ffffffff.wal.lz4")));
}

#[test]
fn objects_that_begin_together_are_in_the_order_in_which_a_restore_looks_at_them() {
    let index = |n| Index::new(n).unwrap();
    let range = |to, level| {
        let (from, time, level) = (index(1), Timestamp(7), Level::new(level).unwrap());
        ObjectName::Range(Generation(1), RangeName { from, to: index(to), time, level })
    };
    let ordered = [
        ObjectName::Segment(Generation(1), index(0), Offset(9999)),
        ObjectName::Snapshot(Generation(1), index(1)),
        range(2, 1),
        range(5, 2),
        ObjectName::Segment(Generation(1), index(1), Offset(0)),
        ObjectName::Snapshot(Generation(1), index(2)),
        ObjectName::Snapshot(Generation(2), index(0)),
    ];
    assert!(ordered.is_sorted(), "{ordered:?}");
    assert_eq!(
        range(5, 2).key().unwrap(),
        "lightship/ranges/0000000000000001/2/00000001-00000005-000000000007.range.lz4"
    );
}

#[test]
fn other_files_in_a_replica_are_not_taken_for_objects() {
    for key in [
        "generations/98a668427ff80fee/wal/00000000.wal.lz4",
        "generations/98a668427ff80fee/wal/00000000_0000000G.wal.lz4",
        "generations/98a668427ff80fee/wal/00000000_00000000.wal.lz4.tmp",
        "generations/98a668427ff80fee/wal/80000000_00000000.wal.lz4",
        "generations/98a668427ff80fee/wal/00000000_100000000.wal.lz4",
        "generations/98A668427FF80FEE/wal/00000000_00000000.wal.lz4",
        "generations/98a668427ff80fee/snapshots/0000000.snapshot.lz4",
        "generations/98a668427ff80fee/snapshots/+0000000.snapshot.lz4",
        "generations/98a668427ff80fee/snapshots/x/00000000.snapshot.lz4",
        "generations/98a668427ff80fee/00000000.snapshot.lz4",
        "98a668427ff80fee/snapshots/00000000.snapshot.lz4",
        "lightship/ranges/98a668427ff80fee/0/00000000-00000001-000000000000.range.lz4",
        "lightship/ranges/98a668427ff80fee/4/00000000-00000001-000000000000.range.lz4",
        "lightship/ranges/98a668427ff80fee/01/00000000-00000001-000000000000.range.lz4",
        "lightship/ranges/98a668427ff80fee/1/00000001-00000001-000000000000.range.lz4",
        "lightship/ranges/98a668427ff80fee/1/00000000-00000001-0000000000000.range.lz4",
        "lightship/ranges/98a668427ff80fee/1/00000000-00000001.range.lz4",
        "lightship/claim",
        "",
    ] {
        assert_eq!(ObjectName::parse(key), None, "{key}");
    }
}
