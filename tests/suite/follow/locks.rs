//! The locks that following rests on, as the kernel sees them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::scene::*;

/// Where in the -shm file SQLite's read locks are (sqlite.org/walformat.html, section 2.3), and the one of all users.
const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;
const IN_USE: u64 = 128;

/// Ranges that process `pid` has locked in `file`.
fn locks(pid: u32, file: &Path) -> Vec<(u64, u64)> {
    let Ok(inode) = fs::metadata(file).map(|meta| meta.ino().to_string()) else { return Vec::new() };
    let table = fs::read_to_string("/proc/locks").unwrap();
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., owner, file, from, to] = words[..] else { return None };
        let ours = owner == pid.to_string() && file.rsplit(':').next() == Some(&inode);
        ours.then(|| (from.parse().unwrap(), to.parse().unwrap_or(u64::MAX)))
    };
    table.lines().filter_map(parse).collect()
}

fn is_in_use(pid: u32, scene: &Scene) -> bool {
    !locks(pid, &scene.db()).is_empty() && locks(pid, &scene.path("app.db-shm")).contains(&(IN_USE, IN_USE))
}

fn holds_a_read_lock(pid: u32, scene: &Scene) -> bool {
    let covers = |(from, to): &(u64, u64)| READ_LOCKS.clone().any(|lock| (*from..=*to).contains(&lock));
    locks(pid, &scene.path("app.db-shm")).iter().any(covers)
}

/// Looked at again and again while handovers happen: the replicator is never without a read lock, and neither it nor
/// the application ever loses the locks that say that the files are in use. Closing any descriptor of one of these
/// files would drop them all.
#[test]
fn locks_are_held_through_handovers() {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 20".to_owned();
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--commits", "1000", "--pause", "0.002", "--stay"]);
    let mut looks = 0;
    while indexes(scene.replica()) < 20 {
        for _ in 0..50 {
            // /proc/locks is not read in one piece: a lock that moves meanwhile may be missed, but not twice.
            let held = (0..20).any(|_| holds_a_read_lock(replicator.child.id(), &scene));
            assert!(held, "no read lock\n{}", fs::read_to_string("/proc/locks").unwrap());
            assert!((0..20).any(|_| is_in_use(replicator.child.id(), &scene)), "the replicator's locks are gone");
            assert!((0..20).any(|_| is_in_use(writer.child.id(), &scene)), "the application's locks are gone");
            looks += 1;
        }
    }
    assert_eq!(writer.commits(), 1000);
    assert!(is_in_use(writer.child.id(), &scene));
    writer.leave();
    println!("{looks} looks at the locks, {} indexes", indexes(scene.replica()));
    replicator.stop_well();
    assert!(scene.source() == scene.restored());
}

/// An idle database is not written to: not by starting, not by a snapshot, not by stopping.
#[test]
fn idle_database_keeps_its_bytes_and_its_mtime() {
    let scene = Scene::with_chain(4096);
    let before = (fs::read(scene.db()).unwrap(), fs::metadata(scene.db()).unwrap().mtime_nsec());
    let replicator = scene.replicate_and_wait();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    replicator.stop_well();
    assert!(before == (fs::read(scene.db()).unwrap(), fs::metadata(scene.db()).unwrap().mtime_nsec()));
}
