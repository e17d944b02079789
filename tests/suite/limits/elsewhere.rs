//! A database on a file system whose locks and memory may not be those that SQLite needs.

use std::fs;
use std::process::{Child, Stdio};

use super::*;

/// A server of a FUSE file system, in a process of its own.
struct Fuse(Child);

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_on_fuse_is_said_to_be_doubtful_by_doctor_and_at_the_start() {
    let name = "limits::elsewhere::a_database_on_fuse_is_said_to_be_doubtful_by_doctor_and_at_the_start";
    if !machine_has("fuse") || !in_mount_namespace(name) {
        return;
    }
    let mut scene = Scene::with_chain(4096);
    let folder = scene.path("fuse");
    fs::create_dir(&folder).unwrap();
    let served = python("fuse_folder.py").arg(&folder).arg(scene.db()).stdout(Stdio::null()).spawn();
    let _served = Fuse(served.unwrap());
    let database = folder.join("app.db");
    wait_until("the file system", || database.exists());
    assert_eq!(fs::read(&database).unwrap(), fs::read(scene.db()).unwrap());
    scene.configured_path.clone_from(&database);
    let replicator = scene.replicate();
    replicator.wait_for("doubtful file system: FUSE");
    let said = run(lightship().args(["doctor", "-config"]).arg(scene.path("lightship.yml")).arg(&database));
    assert!(said.contains("FUSE: whether locks"), "{said}");
}
