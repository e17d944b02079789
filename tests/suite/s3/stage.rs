//! A scene with a replica in S3.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::proxy::Proxy;
use super::server::StoreServer;
pub use crate::follow::scene::*;

/// A database, an S3 server, and who works on them.
pub struct Stage {
    /// The database; it has no file replica unless a test adds one.
    pub scene: Scene,
    /// The server.
    pub server: StoreServer,
}

impl Stage {
    /// A database as `chain.py` makes it, to be replicated to `s3://bucket/app`.
    pub fn new() -> Self {
        let server = StoreServer::s3();
        let mut scene = Scene::with_chain(4096);
        scene.replicas.clear();
        let address = server.address;
        Self { scene, server }.via(address)
    }

    /// The same by way of a proxy, and before it a replica in files, beside the database.
    pub fn with_folder_and_proxy() -> (Self, Proxy) {
        let mut stage = Self::new();
        let proxy = Proxy::before(stage.server.address);
        stage.scene.replicas = vec![stage.scene.path("beside")];
        (stage.via(proxy.address), proxy)
    }

    /// The same, with requests of the replicator going by way of `address`.
    pub fn via(self, address: SocketAddr) -> Self {
        self.via_with(address, "")
    }

    /// The same, with more keys of the replica, separated by commas.
    pub fn via_with(mut self, address: SocketAddr, keys: &str) -> Self {
        self.scene.more_replicas = format!(
            "      - {{name: s3, type: s3, bucket: bucket, path: app, endpoint: 'http://{address}', {keys}}}\n"
        );
        self
    }

    /// Starts a replicator.
    pub fn replicate(&self) -> Replicator {
        let mut command = self.scene.replicate_command();
        log_in(&mut command);
        Replicator::start(command, self.scene.path("log"))
    }

    /// Starts a replicator and waits for its first snapshot in S3.
    pub fn replicate_and_wait(&self) -> Replicator {
        let replicator = self.replicate();
        wait_until("the first snapshot in S3", || self.keys().iter().any(|key| key.contains("/snapshots/")));
        replicator
    }

    /// The replica as a URL.
    pub fn url(&self) -> String {
        format!("s3://bucket.localhost:{}/app", self.server.address.port())
    }

    /// Restores from the server itself with `program`: ours or a real Litestream.
    pub fn restored_by(&self, program: &Path) -> Result<Vec<u8>, String> {
        let output = self.scene.path("restored-from-s3");
        let mut command = Command::new(program);
        log_in(&mut command);
        command.arg("restore").arg("-o").arg(&output).arg(self.url());
        run_restore(command, &output)
    }

    /// Restores with our own program.
    pub fn restored(&self) -> Vec<u8> {
        let program = lightship();
        let restored = self.restored_by(Path::new(program.get_program()));
        restored.unwrap_or_else(|error| panic!("{error}\n{}", self.scene.log()))
    }

    /// Everything in the bucket.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut marker = String::new();
        loop {
            let page = self.server.request("GET", &format!("/bucket?marker={marker}"));
            keys.extend(page.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())));
            if !page.contains("<IsTruncated>true") {
                return keys;
            }
            marker = keys.last().cloned().unwrap_or_default();
        }
    }
}

/// Waits until the replicator that was started as number `start`, from 1, has said `text`.
pub fn wait_for_of_start(scene: &Scene, start: usize, text: &str) {
    let said = || scene.log().split("lightship version=").nth(start).is_some_and(|said| said.contains(text));
    wait_until(text, said);
}

/// The keys that every program here finds in its surroundings, and nothing of the machine's own.
pub fn log_in(command: &mut Command) {
    command.env("AWS_ACCESS_KEY_ID", "AKIDOFTEST").env("AWS_SECRET_ACCESS_KEY", "SECRETOFTEST");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN");
    // Litestream 0.5 does not start with it.
    command.env_remove("AWS_CA_BUNDLE");
}
