//! Replicas in Azure and Google's store, by the same driver.

use std::path::Path;
use std::process::Command;

use super::server::{AZURITE_KEY, StoreServer};
use super::stage::*;

/// A database with a replica in a cloud, for `key`s that every program here finds in its surroundings.
struct Cloud {
    scene: Scene,
    keys: Vec<(&'static str, String)>,
    _server: StoreServer,
}

impl Cloud {
    fn azure() -> Self {
        let server = StoreServer::azure();
        let mut scene = Scene::with_chain(4096);
        scene.replicas.clear();
        scene.more_replicas = format!(
            "      - {{type: abs, account-name: devstoreaccount1, bucket: bucket, path: app, sync-interval: 50ms,\n\
             \x20        endpoint: 'http://{}/devstoreaccount1'}}\n",
            server.address
        );
        let keys = vec![("LITESTREAM_AZURE_ACCOUNT_KEY", AZURITE_KEY.to_owned())];
        Self { scene, keys, _server: server }
    }

    fn google() -> Self {
        let server = StoreServer::gcs();
        let mut scene = Scene::with_chain(4096);
        scene.replicas.clear();
        scene.more_replicas = "      - {type: gcs, bucket: bucket, path: app, sync-interval: 50ms}\n".to_owned();
        let keys = vec![("STORAGE_EMULATOR_HOST", server.address.to_string())];
        Self { scene, keys, _server: server }
    }

    fn with_keys(&self, mut command: Command) -> Command {
        command.envs(self.keys.iter().map(|(name, value)| (name, value)));
        command
    }

    fn replicate(&self, program: &Path) -> Replicator {
        // Writes the configuration.
        drop(self.scene.replicate_command());
        let mut command = self.with_keys(Command::new(program));
        command.arg("replicate").arg("-config").arg(self.scene.path("lightship.yml"));
        Replicator::start(command, self.scene.path("log"))
    }

    fn restored_by(&self, program: &Path) -> Vec<u8> {
        let output = self.scene.path("restored-from-cloud");
        let mut command = self.with_keys(Command::new(program));
        let config = self.scene.path("lightship.yml");
        command.arg("restore").arg("-config").arg(config).arg("-o").arg(&output).arg(self.scene.db());
        run_restore(command, &output).unwrap_or_else(|error| panic!("{error}\n{}", self.scene.log()))
    }
}

fn ours() -> std::path::PathBuf {
    lightship().get_program().into()
}

fn litestream_0_3() -> std::path::PathBuf {
    litestream("LITESTREAM", "0.3.13")
}

/// Replicates, is killed, continues; several indexes, with merging.
fn assert_replicates(cloud: &mut Cloud) {
    cloud.scene.database_keys = "min-checkpoint-page-count: 15".to_owned();
    let replicator = cloud.replicate(&ours());
    replicator.wait_for("snapshot written");
    let mut writer = cloud.scene.writer(&["--commits", "100", "--pause", "0.01", "--autocheckpoint", "0", "--stay"]);
    writer.commits();
    replicator.kill();
    let replicator = cloud.replicate(&ours());
    wait_for_of_start(&cloud.scene, 2, "continuing the generation");
    replicator.stop_well();
    writer.leave();
    let log = cloud.scene.log();
    assert!(!log.contains("ERROR") && !log.contains(" WARN ") && log.contains("segments merged"), "{log}");
    assert!(!log.contains(AZURITE_KEY), "{log}");
    assert!(cloud.restored_by(&ours()) == cloud.scene.source(), "{log}");
}

#[test]
fn what_goes_to_azure_is_restored_by_us_and_by_litestream() {
    let mut cloud = Cloud::azure();
    assert_replicates(&mut cloud);
    assert!(cloud.restored_by(&litestream_0_3()) == cloud.scene.source(), "{}", cloud.scene.log());
}

#[test]
fn what_litestream_wrote_to_azure_is_restored() {
    let mut cloud = Cloud::azure();
    // Its own keys only.
    cloud.scene.database_keys = "min-checkpoint-page-count: 15".to_owned();
    let replicator = cloud.replicate(&litestream_0_3());
    replicator.wait_for("snapshot written");
    let mut writer = cloud.scene.writer(&["--commits", "100", "--pause", "0.01"]);
    writer.commits();
    writer.leave();
    replicator.stop();
    let restored = cloud.restored_by(&ours());
    assert!(chain_length(&restored) > 0 && restored == cloud.restored_by(&litestream_0_3()));
}

#[test]
fn what_goes_to_google_is_restored() {
    assert_replicates(&mut Cloud::google());
}
