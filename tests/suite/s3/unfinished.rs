//! Uploads in parts whose replicator dies.

use std::time::Duration;

use super::proxy::{Fault, Proxy};
use super::stage::*;

/// A database whose snapshot has some five parts.
const BALLAST: &str = "CREATE TABLE ballast (v BLOB); INSERT INTO ballast VALUES (randomblob(24000000));";

/// Names of the uploads in the bucket that nobody has finished.
fn unfinished(stage: &Stage) -> Vec<String> {
    let listed = stage.server.request("GET", "/bucket?uploads");
    let uploads = listed.split("<Upload>").skip(1);
    let key = |upload: &str| Some(upload.split_once("<Key>")?.1.split_once("</Key>")?.0.to_owned());
    uploads.map(|upload| key(upload).unwrap()).collect()
}

fn doctor_says(stage: &Stage) -> String {
    let mut command = lightship();
    log_in(&mut command);
    let ended = command.arg("doctor").arg(stage.url()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let text = String::from_utf8(ended.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("unfinished"));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn an_upload_that_is_killed_again_and_again_leaves_nothing_visible_and_doctor_lists_what_is_left_of_it() {
    let stage = Stage::new();
    stage.scene.sql(Shell::Python, BALLAST);
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via(proxy.address);
    assert!(doctor_says(&stage).trim().starts_with("ok"));
    let holder = stage.scene.writer(&["--commits", "1", "--stay"]);
    proxy.set(|request| if request.is_part() { Fault::Delay(Duration::from_millis(150)) } else { Fault::None });
    for kill in 0..10 {
        let before = proxy.requests().iter().filter(|request| request.is_part()).count();
        let replicator = stage.replicate();
        let parts = || proxy.requests().iter().filter(|request| request.is_part()).count() - before;
        wait_until("some parts", || parts() > kill % 4 && unfinished(&stage).len() > kill);
        replicator.kill();
        let visible: Vec<_> = stage.keys().into_iter().filter(|key| key.contains("/generations/")).collect();
        assert!(visible.is_empty(), "{visible:?}");
        assert_eq!(unfinished(&stage).len(), kill + 1);
    }
    let replicator = stage.replicate_and_wait();
    replicator.stop_well();
    holder.leave();
    let left = unfinished(&stage);
    assert_eq!(left.len(), 10);
    let said = doctor_says(&stage);
    assert!(said.contains("10 uploads") && said.contains("AbortIncompleteMultipartUpload"), "{said}");
    assert!(left.iter().all(|path| said.contains(path.strip_prefix("app/").unwrap())), "{said}\n{left:?}");
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == stage.scene.source());
}

/// That of a replica beside is not ours, and a young one may be under way.
#[test]
fn retention_removes_what_is_left_of_old_uploads_and_of_no_others() {
    for append_only in [false, true] {
        let stage = Stage::new();
        let begin = |path: &str, headers: &str| {
            let answer = stage.server.request_with("POST", &format!("/bucket/{path}?uploads"), headers);
            assert!(answer.contains("<UploadId>"), "{answer}");
        };
        let stay = ["app/generations/young", "beside/generations/old", "app/beside/generations/old"];
        for path in ["app/generations/old", "app/lightship/old", stay[1], stay[2]] {
            begin(path, "x-amz-meta-begun: 2026-01-01T00:00:00.000Z\r\n");
        }
        begin(stay[0], "");
        let address = stage.server.address;
        let keys = format!("retention: 1h, retention-check-interval: 300ms, append-only: {append_only}");
        let stage = stage.via_with(address, &keys);
        let replicator = stage.replicate_and_wait();
        let mut writer = stage.scene.writer(&["--commits", "100", "--pause", "0.02", "--stay"]);
        writer.commits();
        if append_only {
            assert_eq!(unfinished(&stage).len(), 5);
        } else {
            wait_until("what is old to be removed", || unfinished(&stage).len() == stay.len());
            let left = unfinished(&stage);
            assert!(stay.iter().all(|path| left.iter().any(|left| left == path)), "{left:?}");
            replicator.wait_for("removed what was left of uploads");
        }
        replicator.stop_well();
        writer.leave();
        assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
    }
}
