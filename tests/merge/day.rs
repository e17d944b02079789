//! A day of one commit a second, by the test's own clock.

use super::stage::Stage;
use super::{assert_litestream_restores, setting};

/// `LIGHTSHIP_DAY_COMMITS` and `LIGHTSHIP_DAY_POINTS`: 20000 and 500 are a good test of a release.
#[tokio::test]
async fn any_point_of_a_day_of_one_commit_a_second_needs_few_objects() {
    let (commits, points) = (setting("LIGHTSHIP_DAY_COMMITS", 4000), setting("LIGHTSHIP_DAY_POINTS", 30));
    let mut stage = Stage::new();
    let mut running = stage.start().await;
    for n in 1..=commits {
        stage.commit(&mut running).await;
        if n % (commits / 4) == commits / 8 {
            assert_litestream_restores(&stage, n);
            stage.check(n).await;
        }
    }
    running.stop().await;
    assert_litestream_restores(&stage, commits);

    let (segments, ranges) = (stage.count("/wal/"), stage.count("lightship/ranges"));
    let (mut worst, mut total) = (0, 0);
    for round in 0..points {
        let commit = if round == 0 { commits } else { fastrand::u64(0..=commits) };
        let (_, gets) = stage.check(commit).await;
        (worst, total) = (worst.max(gets), total + gets);
    }
    println!(
        "{commits} commits: {segments} segments, {ranges} ranges; GETs for {points} points: at most {worst}, \
         {:.1} on average",
        total as f64 / points as f64
    );
    assert!(worst <= 50, "a restore needed {worst} GETs");
    assert!(segments as u64 <= commits / 30, "{segments} segments of {commits} commits");
    assert!(ranges as u64 >= commits / 400, "only {ranges} ranges");
}
