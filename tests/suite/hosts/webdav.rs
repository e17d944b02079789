//! Replicas on a WebDAV server.

use std::path::PathBuf;

use crate::follow::scene::*;
use crate::s3::server::StoreServer;

/// A database with a replica on a server, in the folder `app` of what it serves.
struct Stage {
    scene: Scene,
    root: PathBuf,
    /// `None` while it is down.
    server: Option<StoreServer>,
    port: u16,
}

impl Stage {
    fn new() -> Self {
        let mut scene = Scene::with_chain(4096);
        scene.replicas.clear();
        let root = scene.path("served");
        std::fs::create_dir(&root).unwrap();
        let server = StoreServer::webdav(&root, 0, &[]);
        let port = server.address.port();
        scene.more_replicas = format!(
            "      - {{type: webdav, webdav-url: 'http://127.0.0.1:{port}/dav', webdav-username: backup,\n\
             \x20        webdav-password: SECRETOFTEST, path: app, sync-interval: 50ms}}\n"
        );
        Self { scene, root, server: Some(server), port }
    }

    fn stop(&mut self) {
        self.server = None;
    }

    fn start(&mut self) {
        self.server = Some(StoreServer::webdav(&self.root, self.port, &[]));
    }

    fn replicate_and_wait(&self) -> Replicator {
        let replicator = self.scene.replicate();
        replicator.wait_for("snapshot written");
        replicator
    }

    /// By the URL, as a machine does that has no configuration.
    fn restored(&self) -> Vec<u8> {
        let output = self.scene.path("restored-from-server");
        let mut command = lightship();
        let url = format!("webdav://backup:SECRETOFTEST@127.0.0.1:{}/dav/app", self.port);
        command.arg("restore").arg("-o").arg(&output).arg(url);
        run_restore(command, &output).unwrap_or_else(|error| panic!("{error}\n{}", self.scene.log()))
    }
}

#[test]
fn what_goes_to_a_webdav_server_is_restored_also_when_the_replicator_was_killed() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 15".to_owned();
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--commits", "100", "--pause", "0.01", "--autocheckpoint", "0", "--stay"]);
    writer.commits();
    replicator.kill();
    let replicator = stage.scene.replicate();
    replicator.wait_for("continuing the generation");
    replicator.stop_well();
    writer.leave();
    let log = stage.scene.log();
    assert!(!log.contains("ERROR") && !log.contains(" WARN ") && log.contains("segments merged"), "{log}");
    assert!(!log.contains("SECRETOFTEST"), "{log}");
    assert!(stage.restored() == stage.scene.source(), "{log}");
    // Litestream 0.3 knows no such replicas, but reads their folder.
    let folder = stage.root.join("app");
    let litestream = litestream("LITESTREAM", "0.3.13");
    assert!(stage.scene.restored_by(&litestream, &folder).unwrap() == stage.scene.source(), "{log}");
}

#[test]
fn a_webdav_server_that_is_down_is_waited_for_and_caught_up_with() {
    let mut stage = Stage::new();
    let replicator = stage.replicate_and_wait();
    stage.stop();
    let mut writer = stage.scene.writer(&["--commits", "50", "--pause", "0.01", "--stay"]);
    writer.commits();
    replicator.wait_for("cannot write to the replica");
    stage.start();
    replicator.wait_for("the replica can be written again");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
}
