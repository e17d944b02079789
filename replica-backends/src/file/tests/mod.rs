//! The file driver on real file systems: what the conformance suite cannot ask of every store.

mod disk;
mod folders;
mod list;
mod put;
mod sync;

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;

use super::FileBackend;
use crate::Body;

/// A body of `content`.
fn body(content: &'static str) -> Body {
    Body::from(Bytes::from_static(content.as_bytes()))
}

/// A body of `content` that must be read as a stream.
fn stream_body(content: &'static str) -> Body {
    use futures::{StreamExt, stream};
    Body::stream(move || stream::iter([Ok(Bytes::from_static(content.as_bytes()))]).boxed())
}

/// Names in `folder`, hidden ones too, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Whether this process was started by [`in_child`] to do the work of `test`.
const CHILD: &str = "REPLICA_BACKENDS_TEST_CHILD";

/// Runs `test` (a full path in this crate) again in a process of its own, started by `wrapper`. Returns true in
/// that process, which then does the work, and false in the parent when it has succeeded.
fn in_child(wrapper: &[&str], test: &str) -> bool {
    if std::env::var(CHILD).is_ok_and(|value| value == test) {
        return true;
    }
    let name = test.split_once("::").expect("a full path").1;
    let output = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .output()
        .unwrap_or_else(|error| panic!("this test needs the program {:?}: {error}", wrapper[0]));
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && out.contains("1 passed"), "{wrapper:?} {name} fails:\n{out}\n{err}");
    false
}

/// [`in_child`] in a process that permission bits stop and that may give no file away, even if we are root.
fn in_unprivileged_child(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    in_child(&["setpriv", "--bounding-set=-dac_override,-dac_read_search,-chown"], test)
}

/// Runs `future` to its end on a runtime of its own.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}
