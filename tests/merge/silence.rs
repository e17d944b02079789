//! A database that nobody commits to for long, or a machine that sleeps: what of its replica has been deleted meanwhile
//! says nothing any more.

use std::path::PathBuf;
use std::sync::Arc;

use lightship::segment::{Encoder, Seal, Tail};
use lightship::types::WriterId;
use replica_backends::layers::Meter;

use super::assert_litestream_restores;
use super::stage::{Running, Stage};

async fn begun(stage: &mut Stage) -> Running {
    let mut running = stage.start().await;
    for _ in 0..20 {
        stage.commit(&mut running).await;
    }
    running
}

fn objects(stage: &Stage) -> Vec<PathBuf> {
    stage.keys().iter().map(|key| stage.replica().join(key)).collect()
}

/// Another writer has gone on with the replica, and its retention has deleted everything else, and in the end also
/// that. The next segment was put where nothing led to it, and was said to be shipped.
#[tokio::test]
async fn what_was_deleted_during_a_long_silence_is_not_gone_on_with() {
    let mut stage = Stage::new();
    let mut running = begun(&mut stage).await;
    stage.hours.pass(30);
    objects(&stage).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    stage.commit(&mut running).await;
    stage.check(stage.commits).await;
    assert_litestream_restores(&stage, stage.commits);
    running.stop().await;
}

/// The same; what the other writer has put last is still there. Its end of our index, which would have refused our next
/// segment, is not.
#[tokio::test]
async fn another_writer_that_went_on_during_a_long_silence_is_noticed() {
    let mut stage = Stage::new();
    let running = begun(&mut stage).await;
    stage.hours.pass(30);
    let last = objects(&stage).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    let Tail::Sealed(seal, _) = Seal::from_tail(&bytes, bytes.len() as u64).unwrap() else { panic!("no seal") };
    objects(&stage).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let (at, size) = ((seal.to.0.next().unwrap().next().unwrap(), seal.to.1), seal.size_after);
    let theirs = Seal {
        from: at,
        to: at,
        raw_bytes: 0,
        size_before: size,
        digest_before: seal.digest_after,
        checksum_before: seal.checksum_after,
        writer: WriterId(2),
        commits: Vec::new(),
        ..*seal
    };
    let name = last.file_name().unwrap().to_str().unwrap();
    let name = name.replacen(&name[..8], &at.0.to_string(), 1);
    let object = Encoder::new(Vec::new(), 0).finish(theirs).unwrap().0;
    std::fs::write(last.with_file_name(&name), object).unwrap();
    stage.write();
    assert!(running.conflict().await.key.ends_with(&name));
}

#[tokio::test]
async fn what_is_still_there_after_a_long_silence_is_gone_on_with_for_few_requests() {
    let mut stage = Stage::new();
    let meter = Arc::new(Meter::new(Arc::clone(&stage.backend)));
    let mut running = stage.start_on(Arc::clone(&meter) as _).await;
    for _ in 0..20 {
        stage.commit(&mut running).await;
    }
    let read = || {
        let counters = meter.counters();
        counters.list.requests + counters.head.requests + counters.get.requests
    };
    let before = read();
    stage.commit(&mut running).await;
    assert_eq!(read(), before);
    stage.hours.pass(1);
    for _ in 0..3 {
        stage.commit(&mut running).await;
    }
    assert!((1..=4).contains(&(read() - before)), "{} requests", read() - before);
    running.stop().await;
    stage.check(stage.commits).await;
    assert_eq!(stage.count("snapshots"), 1);
}
