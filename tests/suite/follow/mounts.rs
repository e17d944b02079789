//! Small disks, mounted in a mount namespace of the test's own.

use std::fs;
use std::path::Path;
use std::process::Command;

const CHILD: &str = "LIGHTSHIP_TEST_CHILD";

/// Runs the test named `test` again in a process of its own, in which it may mount. True in that process, which then
/// does the work; false in the first one when it has succeeded.
pub fn in_mount_namespace(test: &str) -> bool {
    if std::env::var(CHILD).is_ok_and(|value| value == test) {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
    let ended = command.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]).env(CHILD, test);
    let ended = ended.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{test} fails:\n{said}\n{error}");
    false
}

/// Whether a test that takes root, and of the machine what is called `feature`, is to be run. `tests/run` tries what
/// there is, says what is missing, and lists that in `LIGHTSHIP_WITHOUT`.
pub fn machine_has(feature: &str) -> bool {
    let missing = std::env::var("LIGHTSHIP_WITHOUT").unwrap_or_default();
    if missing.split(',').any(|missing| missing == feature || missing == "root") {
        return false;
    }
    assert!(is_root(), "this test takes root (and {feature}); LIGHTSHIP_WITHOUT=root does without such tests");
    true
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Mounts a small disk.
pub fn mount_tmpfs(at: &Path, size: &str) {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).status();
    assert!(mounted.unwrap().success(), "this test must be allowed to mount a tmpfs");
}

/// Changes the size of a disk.
pub fn remount_tmpfs(at: &Path, size: &str) {
    let mounted = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(at).status();
    assert!(mounted.unwrap().success());
}
