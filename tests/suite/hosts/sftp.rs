//! Replicas on a host that is reached by SFTP.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::follow::scene::*;
use crate::s3::server::{SftpHost, all_files, password_host};

/// A database with a replica on a host, in the folder `app` of its root.
struct Stage {
    scene: Scene,
    host: SftpHost,
}

impl Stage {
    fn new() -> Self {
        Self::of(Scene::with_chain(4096), SftpHost::new())
    }

    fn of(mut scene: Scene, host: SftpHost) -> Self {
        scene.replicas.clear();
        let mut stage = Self { scene, host };
        stage.know("host_key");
        stage
    }

    /// Writes into the configuration that the host has the key in this file.
    fn know(&mut self, key: &str) {
        let host = &self.host;
        self.scene.more_replicas = format!(
            "      - {{type: sftp, host: '{}', user: {}, key-path: {}, path: {}/app, sync-interval: 50ms,\n\
             \x20        host-key: '{}'}}\n",
            host.address(),
            host.user(),
            host.file("key").display(),
            host.root().display(),
            host.public_key(key),
        );
    }

    fn replicate(&self, program: &Path) -> Replicator {
        // Writes the configuration.
        drop(self.scene.replicate_command());
        let mut command = Command::new(program);
        command.arg("replicate").arg("-config").arg(self.scene.path("lightship.yml"));
        Replicator::start(command, self.scene.path("log"))
    }

    fn replicate_and_wait(&self) -> Replicator {
        let replicator = self.replicate(&ours());
        replicator.wait_for("snapshot written");
        replicator
    }

    fn restored_by(&self, program: &Path) -> Vec<u8> {
        let output = self.scene.path("restored-from-host");
        let mut command = Command::new(program);
        let config = self.scene.path("lightship.yml");
        command.arg("restore").arg("-config").arg(config).arg("-o").arg(&output).arg(self.scene.db());
        run_restore(command, &output).unwrap_or_else(|error| panic!("{error}\n{}", self.scene.log()))
    }

    fn writer(&self, commits: &str) -> Writer {
        self.scene.writer(&["--commits", commits, "--pause", "0.01", "--autocheckpoint", "0", "--stay"])
    }
}

fn ours() -> std::path::PathBuf {
    lightship().get_program().into()
}

fn litestream_0_3() -> std::path::PathBuf {
    litestream("LITESTREAM", "0.3.13")
}

#[test]
fn what_goes_to_a_host_is_restored_by_us_and_by_litestream() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 15".to_owned();
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.writer("100");
    writer.commits();
    replicator.kill();
    let replicator = stage.replicate(&ours());
    replicator.wait_for("continuing the generation");
    replicator.stop_well();
    writer.leave();
    let log = stage.scene.log();
    assert!(!log.contains("ERROR") && !log.contains(" WARN ") && log.contains("segments merged"), "{log}");
    let source = stage.scene.source();
    assert!(stage.restored_by(&ours()) == source, "{log}");
    assert!(stage.restored_by(&litestream_0_3()) == source, "{log}");
}

#[test]
fn what_litestream_wrote_to_a_host_is_restored() {
    let mut stage = Stage::new();
    // Its own keys only.
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let replicator = stage.replicate(&litestream_0_3());
    replicator.wait_for("snapshot written");
    let mut writer = stage.scene.writer(&["--commits", "100", "--pause", "0.01"]);
    writer.commits();
    writer.leave();
    replicator.stop();
    let restored = stage.restored_by(&ours());
    assert!(chain_length(&restored) > 0 && restored == stage.restored_by(&litestream_0_3()));
}

#[test]
fn status_tells_apart_what_is_the_matter_with_a_host() {
    let mut stage = Stage::new();
    let replicator = stage.replicate_and_wait();
    stage.host.stop();
    let mut writer = stage.writer("10");
    writer.commits();
    let fails_for = |stage: &Stage, name: &str, needs_operator: bool| {
        wait_until(name, || {
            let (answer, _) = stage.scene.status(&[]);
            let host = &answer["replicas"][0];
            host["failing"] == name && host["needs_operator"] == needs_operator
        });
        stage.scene.status(&[]).0["replicas"][0]["problem"].to_string()
    };
    fails_for(&stage, "unreachable", false);
    stage.host.start(&["--host-key", "new_key"]);
    let problem = fails_for(&stage, "wrong-key", true);
    assert!(problem.contains("has CHANGED"), "{problem}");
    replicator.kill();
    writer.leave();
}

#[test]
fn a_host_that_is_down_delays_nobody_and_is_caught_up_with() {
    let mut stage = Stage::new();
    let beside = stage.scene.path("beside");
    stage.scene.replicas = vec![beside.clone()];
    let replicator = stage.replicate(&ours());
    wait_until("both snapshots", || stage.scene.log().matches("snapshot written").count() == 2);
    stage.host.stop();
    let mut writer = stage.writer("100");
    writer.commits();
    let live = chain_length(&read_while_live(&stage.scene));
    wait_until("the file replica to have everything", || {
        stage.scene.restored_from(&beside, &[]).is_ok_and(|bytes| chain_length(&bytes) == live)
    });
    replicator.wait_for("cannot write to the replica");
    stage.host.start(&[]);
    replicator.wait_for("the replica can be written again");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored_by(&ours()) == stage.scene.source(), "{}", stage.scene.log());
}

/// While it replicates: the host comes back with another key, and nobody knows whether it is the same host.
#[test]
fn a_host_whose_key_has_changed_gets_nothing_until_the_key_is_stated() {
    let mut stage = Stage::new();
    let replicator = stage.replicate_and_wait();
    stage.host.stop();
    let before = all_files(&stage.host.root());
    stage.host.start(&["--host-key", "new_key"]);
    let mut writer = stage.writer("20");
    writer.commits();
    replicator.wait_for("the key of the host has CHANGED");
    assert!(stage.scene.log().contains(&stage.host.public_key("new_key")), "{}", stage.scene.log());
    assert_eq!(all_files(&stage.host.root()), before);
    replicator.kill();
    stage.know("new_key");
    let replicator = stage.replicate(&ours());
    replicator.wait_for("continuing the generation");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored_by(&ours()) == stage.scene.source(), "{}", stage.scene.log());
}

#[test]
fn a_host_that_nobody_knows_gets_nothing_and_the_log_says_what_to_state() {
    let mut stage = Stage::new();
    let (without, _) = stage.scene.more_replicas.split_once("host-key:").unwrap();
    stage.scene.more_replicas = format!("{without}}}\n");
    let replicator = stage.replicate(&ours());
    replicator.wait_for(&stage.host.public_key("host_key"));
    replicator.wait_for("add host-key:");
    assert_eq!(all_files(&stage.host.root()), [""; 0]);
}

#[test]
fn a_host_whose_disk_is_full_is_named_and_is_caught_up_with() {
    if !in_mount_namespace("hosts::sftp::a_host_whose_disk_is_full_is_named_and_is_caught_up_with") {
        return;
    }
    let stage = Stage::new();
    mount_tmpfs(&stage.host.root(), "1536k");
    let replicator = stage.replicate_and_wait();
    fs::write(stage.host.root().join("ballast"), vec![0; 4 << 20]).unwrap_err();
    let mut writer = stage.writer("50");
    writer.commits();
    replicator.wait_for("the disk of the host is full");
    remount_tmpfs(&stage.host.root(), "64m");
    replicator.wait_for("the replica can be written again");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored_by(&ours()) == stage.scene.source(), "{}", stage.scene.log());
}

/// As on a new machine: no configuration, only what OpenSSH knows of hosts.
#[test]
fn a_url_is_enough_to_restore_where_the_host_is_known() {
    let mut scene = Scene::with_chain(4096);
    scene.replicas.clear();
    let root = scene.path("served");
    fs::create_dir_all(&root).unwrap();
    let server = password_host(&root, &[]);
    let key = fs::read_to_string(scene.path("password_host_key.pub")).unwrap();
    scene.more_replicas = format!(
        "      - {{type: sftp, host: '{}', user: backup, password: SECRETOFTEST, path: /app, sync-interval: 50ms,\n\
         \x20        host-key: '{}'}}\n",
        server.address,
        key.trim(),
    );
    let replicator = scene.replicate();
    replicator.wait_for("snapshot written");
    let mut writer = scene.writer(&["--commits", "20"]);
    writer.commits();
    writer.leave();
    replicator.stop_well();
    assert!(!scene.log().contains("SECRETOFTEST"), "{}", scene.log());
    fs::create_dir(scene.path(".ssh")).unwrap();
    fs::write(scene.path(".ssh/known_hosts"), format!("[127.0.0.1]:{} {key}", server.address.port())).unwrap();
    let source = scene.source();
    for program in [ours(), litestream_0_3()] {
        let output = scene.path("restored-from-host");
        let mut command = Command::new(program);
        command.env("HOME", scene.path("")).arg("restore").arg("-o").arg(&output);
        command.arg(format!("sftp://backup:SECRETOFTEST@{}/app", server.address));
        assert!(run_restore(command, &output).unwrap() == source, "{}", scene.log());
    }
}
