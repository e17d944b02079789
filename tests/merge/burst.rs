//! A burst of writing: long before the time of a merged range is over, what came since is much more than the database.

use std::time::Duration;

use super::stage::Stage;
use super::verify::assert_sound;

const COMMITS: u64 = 1200;

async fn recorded(burst_frames_min: u64) -> Stage {
    let mut stage = Stage::new();
    stage.limits.merge_intervals = [Some(Duration::from_secs(3600)), None, None];
    stage.limits.burst_frames_min = burst_frames_min;
    let mut running = stage.start().await;
    for _ in 0..COMMITS {
        stage.commit(&mut running).await;
    }
    running.stop().await;
    stage
}

/// From and to of every range.
fn ranges(stage: &Stage) -> Vec<(u32, u32)> {
    let keys = stage.keys();
    let names = keys.iter().filter_map(|key| key.strip_prefix("lightship/ranges/")?.split('/').nth(2));
    let hex = |part: Option<&str>| u32::from_str_radix(part.unwrap(), 16).unwrap();
    names.map(|name| (hex(name.split('-').next()), hex(name.split('-').nth(1)))).collect()
}

#[tokio::test]
async fn a_burst_is_merged_as_it_goes_and_every_state_is_still_restored() {
    let stage = recorded(1).await;
    let ranges = ranges(&stage);
    // Each begins where the hour began, and reaches further than the one before.
    assert!(ranges.len() >= 3, "{:?}", stage.keys());
    assert!(ranges.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1), "{ranges:?}");
    for commit in (1..COMMITS).step_by(37).chain([COMMITS]) {
        stage.check(commit).await;
    }
    assert_sound(&stage).await;
    // Without it the same state takes everything that was ever written.
    let plain = recorded(u64::MAX).await;
    assert_eq!(self::ranges(&plain), []);
    let ((_, few), (_, many)) = (stage.check(COMMITS).await, plain.check(COMMITS).await);
    assert!(few * 2 < many, "{few} and {many} requests");
}
