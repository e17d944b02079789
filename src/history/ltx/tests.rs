//! Names, and plans over lists of files that are written `level:min-max@time`.

use std::time::UNIX_EPOCH;

use super::*;
use crate::types::{Timestamp, Txid};
use replica_backends::ObjectMeta;

fn txid(number: u64) -> Txid {
    Txid::new(number).unwrap()
}

/// The catalog, and the times that the headers would tell.
fn catalog(files: &str) -> (LtxCatalog, Vec<(String, u64)>) {
    let mut metas = Vec::new();
    let mut times = Vec::new();
    for file in files.split_whitespace() {
        let (name, time) = file.split_once('@').unwrap();
        let (level, range) = name.split_once(':').unwrap();
        let (min, max) = range.split_once('-').unwrap();
        let key = format!("ltx/{level}/{}-{}.ltx", txid(min.parse().unwrap()), txid(max.parse().unwrap()));
        times.push((key.clone(), time.parse().unwrap()));
        metas.push(ObjectMeta { key, size: 100, modified: UNIX_EPOCH });
    }
    (LtxCatalog::from_listing(metas), times)
}

/// The plan in the notation of the files, or the error; reads the headers that are asked for.
fn plan(files: &str, target: LtxTarget) -> String {
    let (catalog, truth) = catalog(files);
    let mut times = LtxTimes::default();
    for _ in 0..100 {
        match plan_ltx(&catalog, &times, target) {
            Ok(plan) => {
                let name = |e: &LtxEntry| format!("{}:{}-{}", e.name.level, e.name.min.get(), e.name.max.get());
                return plan.files.iter().map(name).collect::<Vec<_>>().join(" ");
            }
            Err(LtxStop::Fault(fault)) => return fault.to_string(),
            Err(LtxStop::Needs(needs)) => {
                for entry in &needs.0 {
                    let time = truth.iter().find(|(key, _)| *key == entry.key).unwrap().1;
                    times.learn(entry, Some(Timestamp(time)));
                }
            }
        }
    }
    panic!("it asks for headers for ever");
}

const COMPACTED: &str = "9:1-1@10 9:1-9@90 2:1-6@60 1:1-3@30 1:4-6@60 1:7-9@90 0:7-7@70 0:8-8@80 0:9-9@90 0:10-10@100";

#[test]
fn names_of_both_layouts_are_read_and_nothing_else() {
    let name = LtxName { level: LtxLevel::SNAPSHOT, min: txid(1), max: txid(0xff) };
    assert_eq!(LtxName::parse("ltx/9/0000000000000001-00000000000000ff.ltx"), Some(name));
    assert_eq!(LtxName::parse("0009/0000000000000001-00000000000000ff.ltx"), Some(name));
    for bad in [
        "ltx/10/0000000000000001-00000000000000ff.ltx",
        "ltx/9/0000000000000001-00000000000000FF.ltx",
        "ltx/9/0000000000000001-00000000000000ff.ltx.tmp",
        "ltx/9/0000000000000000-00000000000000ff.ltx",
        "ltx/9/0000000000000002-0000000000000001.ltx",
        "ltx/9/x/0000000000000001-00000000000000ff.ltx",
        "generations/0000000000000001-00000000000000ff.ltx",
    ] {
        assert_eq!(LtxName::parse(bad), None, "{bad}");
    }
    let top = ["0000", "0009", "00001", "000a", "generations", "ltx"].map(str::to_owned);
    assert_eq!(ltx_folders(&top).collect::<Vec<_>>(), ["0000/", "0009/", "ltx/"]);
}

#[test]
fn the_newest_whole_database_is_continued_with_few_files() {
    assert_eq!(plan(COMPACTED, LtxTarget::Latest), "9:1-9 0:10-10");
    assert_eq!(plan(COMPACTED, LtxTarget::Txid(txid(8))), "2:1-6 0:7-7 0:8-8");
    assert_eq!(plan(COMPACTED, LtxTarget::Txid(txid(3))), "1:1-3");
    assert_eq!(plan("9:1-1@1 0:2-2@2 0:3-3@3 1:2-3@3 1:3-4@4", LtxTarget::Latest), "9:1-1 1:2-3 1:3-4");
}

#[test]
fn a_time_is_that_of_the_headers_and_includes_its_own_millisecond() {
    let at = |time| plan(COMPACTED, LtxTarget::Time(Timestamp(time)));
    assert_eq!(at(80), "2:1-6 0:7-7 0:8-8");
    assert_eq!(at(79), "2:1-6 0:7-7");
    assert_eq!(at(1000), "9:1-9 0:10-10");
    assert_eq!(at(29), "9:1-1");
    assert!(at(9).contains("is before the first restorable point"), "{}", at(9));
}

#[test]
fn what_cannot_be_restored_is_named() {
    let gap = "9:1-1@10 0:2-2@20 0:4-4@40 0:5-5@50";
    let hole = plan(gap, LtxTarget::Latest);
    assert!(hole.contains("TXID 0000000000000003 is missing") && hole.contains("ltx/0/0000000000000004-"), "{hole}");
    assert_eq!(plan(gap, LtxTarget::Txid(txid(2))), "9:1-1 0:2-2");
    assert!(plan(gap, LtxTarget::Txid(txid(5))).contains("TXID 0000000000000003 is missing"));
    let merged = plan(COMPACTED, LtxTarget::Txid(txid(5)));
    assert!(
        merged.contains("1-0000000000000006.ltx holds it") || merged.contains("4-0000000000000006.ltx"),
        "{merged}"
    );
    assert!(plan(COMPACTED, LtxTarget::Txid(txid(11))).contains("the last one there is, which is 000000000000000a"));
    assert!(plan("9:1-5@5 0:6-6@6", LtxTarget::Txid(txid(4))).contains("the first one that can be restored"));
    assert!(plan("0:6-6@6", LtxTarget::Latest).contains("none of its LTX files begins with TXID"));
}

#[test]
fn a_time_is_found_with_few_headers() {
    let files: Vec<String> = (1..=4000).map(|n| format!("0:{n}-{n}@{}", n * 10)).collect();
    let (catalog, _) = catalog(&files.join(" "));
    let mut times = LtxTimes::default();
    let mut read = 0;
    while let Err(LtxStop::Needs(needs)) = plan_ltx(&catalog, &times, LtxTarget::Time(Timestamp(12_345))) {
        for entry in &needs.0 {
            times.learn(entry, Some(Timestamp(entry.name.max.get() * 10)));
            read += 1;
        }
    }
    assert!(read <= 12, "{read} headers");
    let plan = plan_ltx(&catalog, &times, LtxTarget::Time(Timestamp(12_345))).unwrap();
    assert_eq!((plan.txid, plan.time, plan.files.len()), (txid(1234), Some(Timestamp(12_340)), 1234));
}
