//! `doctor` against an S3 server: everything that is missing has a name.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use super::proxy::{Fault, Proxy, Request};
use super::stage::*;

/// What `doctor` says of the replica at `address`, and whether it is content.
fn says(address: SocketAddr) -> (String, bool) {
    let mut command: Command = lightship();
    log_in(&mut command);
    command.arg("doctor").arg(format!("s3://bucket.localhost:{}/app", address.port()));
    let ended = command.output().unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    (text, ended.status.success())
}

/// The line of `text` that begins with this grade and this word.
#[track_caller]
fn line<'t>(text: &'t str, grade: &str, what: &str) -> &'t str {
    let is_it = |line: &&str| line.split_whitespace().take(2).eq([grade, what.split(' ').next().unwrap()]);
    text.lines().find(|line| is_it(line) && line.contains(what)).unwrap_or_else(|| panic!("{grade} {what}: {text}"))
}

#[test]
fn a_store_that_does_everything_is_praised_and_left_as_it_was() {
    let stage = Stage::new();
    let (text, content) = says(stage.server.address);
    assert!(content && !text.contains("WRONG") && !text.contains("note"), "{text}");
    for what in ["list", "create", "read", "listing", "clock", "no replace", "replace", "large", "delete"] {
        line(&text, "ok", what);
    }
    assert!(!stage.keys().iter().any(|key| key.contains("doctor")), "{:?}", stage.keys());
}

#[test]
fn everything_that_a_store_does_not_do_is_named_with_its_remedy() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let writes = |request: &Request| matches!(request.method.as_str(), "PUT" | "POST");
    let deletes = |request: &Request| request.method == "DELETE" || request.target.contains("?delete");
    let on = |which: fn(&Request) -> bool, fault: Fault| {
        proxy.set(move |request| if which(request) { fault } else { Fault::None });
        says(proxy.address)
    };
    let denied = Fault::Status(403, "AccessDenied");

    let (text, content) = on(deletes, denied);
    assert!(!content && line(&text, "WRONG", "delete").contains("s3:DeleteObject"), "{text}");
    line(&text, "ok", "create");

    let (text, content) = on(writes, denied);
    assert!(!content && line(&text, "WRONG", "create").contains("s3:PutObject"), "{text}");
    line(&text, "ok", "list");

    let (text, content) = on(|_| true, Fault::IgnoreCondition);
    assert!(content && line(&text, "note", "no replace").contains("give each a path of its own"), "{text}");

    for (fault, remedy) in [
        (Fault::Status(404, "NoSuchBucket"), "the bucket does not exist"),
        (Fault::Status(301, "PermanentRedirect"), "set region and endpoint"),
        (Fault::Status(403, "RequestTimeTooSkewed"), "set the clock of this machine"),
        (Fault::Status(403, "InvalidAccessKeyId"), "check access-key-id"),
        (Fault::Status(403, "SignatureDoesNotMatch"), "check secret-access-key"),
    ] {
        let (text, content) = on(|_| true, fault);
        assert!(!content && line(&text, "WRONG", "list").contains(remedy), "{text}");
    }

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (text, content) = says(nobody);
    assert!(!content && line(&text, "WRONG", "list").contains("cannot be reached"), "{text}");
}
