//! Power cuts: an ext4 disk of its own (a file on a loop device) is shut down without a last write of its journal,
//! while everybody is at work, and mounted again.
//!
//! This takes root and loop devices. `LIGHTSHIP_POWER_CUTS` is how often it is done.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::*;

fn cuts() -> u64 {
    setting("LIGHTSHIP_POWER_CUTS", 2)
}

fn run(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).args(arguments).output().unwrap();
    let why = "power cuts take root and loop devices; LIGHTSHIP_WITHOUT=loop does without them";
    assert!(ended.status.success(), "{program} {arguments:?}: {}\n{why}", String::from_utf8_lossy(&ended.stderr));
}

/// A disk that can lose its power.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(disk.mounted()).unwrap();
        run("truncate", &["-s", "256M", &disk.image()]);
        run("mkfs.ext4", &["-q", "-F", &disk.image()]);
        disk.mount();
        disk
    }

    fn image(&self) -> String {
        self.folder.path().join("image").display().to_string()
    }

    /// Where it is mounted.
    fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// For what is not on it.
    fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mount(&self) {
        run("mount", &["-o", "loop", &self.image(), &self.mounted().display().to_string()]);
    }

    fn sync(&self) {
        run("sync", &["-f", &self.mounted().display().to_string()]);
    }

    fn cut_power(&self) {
        assert!(python("power_cut.py").arg(self.mounted()).status().unwrap().success());
    }

    /// Nobody has a file of it open.
    fn power_up(&self) {
        run("umount", &[&self.mounted().display().to_string()]);
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.mounted()).status();
    }
}

/// What is on the disk that loses its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// The replica and the state folder.
    Replica,
    /// Also the database and its WAL, of which the last commits are lost.
    Everything,
}

/// A database with an application and a replicator; after a while the power is cut. Returns what was reported as stored
/// before.
fn cut_while_at_work(disk: &Disk, scene: &Scene, environment: &[(&str, String)]) -> String {
    let log = disk.beside("log");
    let _ = fs::remove_file(&log);
    let mut command = scene.replicate_command();
    command.envs(environment.iter().map(|(name, value)| (*name, value)));
    disk.sync();
    let replicator = Replicator::start(command, log.clone());
    let writer = scene.writer(&["--pause", "0.002", "--autocheckpoint", "100"]);
    replicator.wait_for(" stored db=");
    std::thread::sleep(Duration::from_millis(fastrand::u64(50..900)));
    disk.cut_power();
    replicator.kill();
    drop(writer);
    disk.power_up();
    reported(&fs::read_to_string(log).unwrap()).unwrap()
}

/// Everything that was reported as stored is there, and is whole.
fn check_stored(scene: &Scene, position: &str) -> Result<u64, String> {
    let verified = lightship().args(["verify", "-all", &url(scene.replica())]).output().unwrap();
    if !verified.status.success() {
        return Err(String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned());
    }
    scene.restored_from(scene.replica(), &["-position", position]).map(|bytes| chain_length(&bytes))
}

fn scene_on(disk: &Disk, on: On) -> Scene {
    let mut scene = match on {
        On::Replica => Scene::with_chain(4096),
        On::Everything => Scene::with_chain_within(&disk.mounted(), 4096),
    };
    scene.replicas = vec![disk.mounted().join("replica")];
    let state = disk.mounted().join("state");
    scene.database_keys = format!("meta-path: {}\ncheckpoint-interval: 200ms", state.display());
    scene
}

fn cut_again_and_again(on: On) {
    let disk = Disk::new();
    let scene = scene_on(&disk, on);
    for _ in 0..cuts() {
        let before = generations(scene.replica()).len();
        let position = cut_while_at_work(&disk, &scene, &[]);
        let log = fs::read_to_string(disk.beside("log")).unwrap();
        check_stored(&scene, &position).unwrap_or_else(|error| panic!("{position} is lost: {error}\n{log}"));
        // The application goes on with what it has, and the replicator too.
        let mut writer = scene.writer(&["--commits", "20", "--stay"]);
        fs::remove_file(disk.beside("log")).unwrap();
        let replicator = Replicator::start(scene.replicate_command(), disk.beside("log"));
        writer.commits();
        replicator.wait_for(" generation db=");
        replicator.stop_well();
        drop(writer);
        let log = fs::read_to_string(disk.beside("log")).unwrap();
        assert_restores(&scene, &log);
        check_stored(&scene, &position).unwrap_or_else(|error| panic!("{position} is lost: {error}\n{log}"));
        // What the state folder has lost may be dearer to find out than a snapshot is.
        let goes_on = generations(scene.replica()).len() == before.max(1) || log.contains("a snapshot costs less");
        assert!(on == On::Everything || goes_on, "{log}");
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_reported_as_stored() {
    if machine_has("loop") && in_mount_namespace("disks::power::a_power_cut_loses_nothing_that_was_reported_as_stored")
    {
        cut_again_and_again(On::Replica);
    }
}

/// The database itself is then older than its replica.
#[test]
fn a_power_cut_that_sets_the_database_back_leaves_a_replica_that_follows_it() {
    if machine_has("loop")
        && in_mount_namespace("disks::power::a_power_cut_that_sets_the_database_back_leaves_a_replica_that_follows_it")
    {
        cut_again_and_again(On::Everything);
    }
}

/// That nothing is lost is not because the disk has everything anyway: without the syncs it has not.
#[test]
fn without_syncs_a_power_cut_loses_what_was_reported_as_stored() {
    if !machine_has("loop")
        || !in_mount_namespace("disks::power::without_syncs_a_power_cut_loses_what_was_reported_as_stored")
    {
        return;
    }
    let disk = Disk::new();
    let scene = scene_on(&disk, On::Replica);
    let library = faulty_disk(&disk.beside("")).display().to_string();
    let under = disk.mounted().display().to_string();
    let lies = [("LD_PRELOAD", library), ("FAULTY_UNDER", under), ("FAULTY_SYNC", "lies".to_owned())];
    let position = cut_while_at_work(&disk, &scene, &lies);
    assert!(check_stored(&scene, &position).is_err(), "{position} is there");
}

/// The disk of the state folder dies, and stays dead: what has to be stored is stored all the same.
#[test]
fn a_state_folder_whose_disk_dies_does_not_stop_the_shipping() {
    if !machine_has("loop")
        || !in_mount_namespace("disks::power::a_state_folder_whose_disk_dies_does_not_stop_the_shipping")
    {
        return;
    }
    let disk = Disk::new();
    let mut scene = scene_on(&disk, On::Replica);
    scene.replicas = vec![disk.beside("replica")];
    let replicator = Replicator::start(scene.replicate_command(), disk.beside("log"));
    let writer = scene.writer(&["--pause", "0.002", "--autocheckpoint", "100"]);
    replicator.wait_for(" stored db=");
    disk.cut_power();
    std::thread::sleep(Duration::from_millis(700));
    drop(writer);
    replicator.stop_well();
    assert_restores(&scene, &fs::read_to_string(disk.beside("log")).unwrap());
}
