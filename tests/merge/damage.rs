//! A merged range that is missing, flipped or another's: finer objects hold what it holds, and a wrong state is never
//! restored.

use std::path::PathBuf;

use super::stage::Stage;

const COMMITS: u64 = 1500;

async fn recorded() -> Stage {
    let mut stage = Stage::new();
    let mut running = stage.start().await;
    for _ in 0..COMMITS {
        stage.commit(&mut running).await;
    }
    running.stop().await;
    stage
}

fn ranges(stage: &Stage) -> Vec<PathBuf> {
    let keys = stage.keys();
    let ranges: Vec<_> = keys.iter().filter(|k| k.starts_with("lightship/ranges")).collect();
    assert!(ranges.len() >= 3, "{keys:?}");
    ranges.into_iter().map(|key| stage.replica().join(key)).collect()
}

#[tokio::test]
async fn a_damaged_range_is_replaced_by_finer_objects() {
    let stage = recorded().await;
    let plain = stage.check(COMMITS).await.1;
    let victims = ranges(&stage);
    for victim in &victims {
        let good = std::fs::read(victim).unwrap();
        let mut flipped = good.clone();
        let at = fastrand::usize(..flipped.len());
        flipped[at] ^= 1 << fastrand::u32(..8);
        for bad in [&flipped[..], &good[..good.len() / 2], &good[..good.len() - 1], b""] {
            std::fs::write(victim, bad).unwrap();
            stage.check(COMMITS).await;
        }
        let (report, gets) = stage.check_saying(COMMITS).await;
        assert!(gets > plain && report.iter().any(|warning| warning.contains("finer objects")), "{report:?}");
        std::fs::write(victim, good).unwrap();
    }
    for victim in &victims {
        std::fs::remove_file(victim).unwrap();
        stage.check(COMMITS).await;
        stage.check(fastrand::u64(0..COMMITS)).await;
    }
}

#[tokio::test]
async fn swapped_and_renamed_ranges_are_not_believed() {
    let stage = recorded().await;
    let victims = ranges(&stage);
    for (a, b) in victims.iter().zip(&victims[1..]) {
        let (first, second) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
        std::fs::write(a, &second).unwrap();
        std::fs::write(b, &first).unwrap();
        for commit in [COMMITS, COMMITS / 2, fastrand::u64(0..COMMITS)] {
            stage.check(commit).await;
        }
        std::fs::write(a, first).unwrap();
        std::fs::write(b, second).unwrap();
    }
    // A name that lies about the time must not lead a restore to another commit.
    for victim in &victims {
        let name = victim.file_name().unwrap().to_str().unwrap();
        for time in ["000000000000", "ffffffffffff"] {
            let lying = victim.with_file_name(format!("{}{time}.range.lz4", &name[..18]));
            std::fs::rename(victim, &lying).unwrap();
            for _ in 0..3 {
                stage.check(fastrand::u64(0..=COMMITS)).await;
            }
            std::fs::rename(&lying, victim).unwrap();
        }
    }
}
