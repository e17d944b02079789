//! The driver on OpenSSH's server.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};

use super::{SftpBackend, SftpOptions, host_and_port};
use crate::store_server::{SftpHost, all_files, password_host};
use crate::{Backend, Body, ByteRange, Error, ErrorKind, Operation, Reason};

fn options(host: &SftpHost) -> SftpOptions {
    SftpOptions {
        host: host.address(),
        user: host.user(),
        key_path: Some(host.file("key")),
        host_key: Some(host.public_key("host_key")),
        ..SftpOptions::default()
    }
}

/// The replica in a folder of the root of `host`.
fn folder(host: &SftpHost, options: SftpOptions, name: &str) -> SftpBackend {
    options.open().folder(&host.root().join(name).display().to_string())
}

fn body() -> Body {
    Bytes::from_static(b"content").into()
}

/// Why an object cannot be put; nothing may be written then.
async fn refusal(host: &SftpHost, options: SftpOptions) -> Error {
    let error = folder(host, options, "refused").put_new("x", body()).await.unwrap_err();
    assert_eq!(all_files(&host.root()), [""; 0], "{error}");
    error
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_host_passes() {
    let host = SftpHost::new();
    let count = AtomicU64::new(0);
    let connection = options(&host).open();
    crate::conformance::run(async || {
        let root = host.root().join(format!("replica {}", count.fetch_add(1, Ordering::Relaxed)));
        Arc::new(connection.folder(&root.display().to_string())) as Arc<dyn Backend>
    })
    .await;
    wait_for("all temporary files to go away", || !all_files(&host.root()).iter().any(|file| file.ends_with(".tmp")))
        .await;
}

/// Of OpenSSH's extensions nothing is left: plain version 3 of the protocol.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_extensions_creates_and_replaces_too() {
    let host = SftpHost::with(&["-P", "hardlink,posix-rename,fsync,statvfs"]);
    let store = folder(&host, options(&host), "app");
    assert!(store.creates_atomically().await.unwrap());
    let contents: Vec<Bytes> = (0..8).map(|racer| Bytes::from(vec![racer; 100])).collect();
    for round in 0..8 {
        let key = format!("race/{round}");
        let results = join_all(contents.iter().map(|content| store.put_new(&key, content.clone().into()))).await;
        let winners: Vec<_> = (0..8).filter(|racer| results[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        let lost = |error: &Error| error.kind() == ErrorKind::AlreadyExists;
        assert!(results.iter().filter_map(|result| result.as_ref().err()).all(lost), "{results:?}");
        assert_eq!(std::fs::read(host.root().join("app").join(&key)).unwrap(), contents[winners[0]]);
    }
    for content in &contents {
        store.put_over("race/0", content.clone().into()).await.unwrap();
        assert_eq!(std::fs::read(host.root().join("app/race/0")).unwrap(), content[..]);
    }
    assert!(!all_files(&host.root()).iter().any(|file| file.ends_with(".tmp")), "{:?}", all_files(&host.root()));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_absolute_or_begin_where_the_host_puts_the_user() {
    let host = SftpHost::with(&["-d", "/"]);
    let root = host.root().display().to_string();
    let connection = options(&host).open();
    connection.folder(&format!("{root}/absolute//")).put_new("a/x", body()).await.unwrap();
    connection.folder(&format!("{}/relative", root.trim_start_matches('/'))).put_new("a/x", body()).await.unwrap();
    assert_eq!(all_files(&host.root()), ["absolute/a/x", "relative/a/x"]);
    for nowhere in ["", "/"] {
        let found = connection.folder(nowhere).list_folders("").await.unwrap();
        assert!(found.iter().any(|folder| folder == "tmp"), "{found:?}");
    }
    let file = connection.folder(&format!("{root}/absolute/a/x"));
    let error = file.list("", None).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("is a file, not a folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_verified_is_refused_and_the_error_says_what_to_do() {
    let host = SftpHost::new();
    let unknown = SftpOptions { host_key: None, ..options(&host) };
    let error = refusal(&host, unknown.clone()).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, Reason::WrongKey), "{error}");
    let (_, rest) =
        error.to_string().split_once("add host-key: \"").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let line = rest.split_once('"').unwrap().0.to_owned();
    assert_eq!(line, host.public_key("host_key"));
    let fixed = SftpOptions { host_key: Some(line), ..unknown.clone() };
    folder(&host, fixed, "fixed").put_new("x", body()).await.unwrap();
    assert_eq!(all_files(&host.root()), ["fixed/x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_another_key_than_is_stated_is_refused() {
    let host = SftpHost::new();
    make_key(&host, "key_rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let of = |key: &str| SftpOptions { host_key: Some(key.to_owned()), ..options(&host) };
    let error = refusal(&host, of(&host.public_key("key"))).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, Reason::WrongKey), "{error}");
    assert!(error.to_string().contains("has CHANGED") && error.to_string().contains("host-key says"), "{error}");
    let error = refusal(&host, of(&host.public_key("key_rsa"))).await.to_string();
    assert!(error.contains("host-key is of the kind") && error.contains("ssh-keyscan"), "{error}");
    let error = refusal(&host, of("SHA256:nonsense")).await.to_string();
    assert!(error.contains("host-key is not a public key"), "{error}");
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9\
                 nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";
    let error = refusal(&host, of(ecdsa)).await.to_string();
    assert!(error.contains("keys of the kinds ssh-ed25519 only"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn known_hosts_decides_where_no_key_is_stated() {
    let host = SftpHost::new();
    make_key(&host, "key_rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let file = host.file("known_hosts");
    let known_hosts = vec![host.file("none"), file.clone()];
    let with_file = SftpOptions { host_key: None, known_hosts, ..options(&host) };
    let name = format!("[127.0.0.1]:{}", host.address().rsplit_once(':').unwrap().1);
    let write =
        |line: &str, key: &str| std::fs::write(&file, format!("# mine\n{line} {}\n", host.public_key(key))).unwrap();

    write("[127.0.0.1]:1", "host_key");
    let error = refusal(&host, with_file.clone()).await.to_string();
    assert!(error.contains("is unknown") && error.contains(&file.display().to_string()), "{error}");
    write(&name, "key");
    let error = refusal(&host, with_file.clone()).await.to_string();
    assert!(error.contains("has CHANGED") && error.contains("line 2 of"), "{error}");
    write(&name, "key_rsa");
    let error = refusal(&host, with_file.clone()).await.to_string();
    assert!(error.contains("is unknown") && error.contains("of the kind ssh-rsa, which was not shown"), "{error}");
    write(&format!("@revoked {name}"), "host_key");
    let error = refusal(&host, with_file.clone()).await.to_string();
    assert!(error.contains("marked as revoked in line 2 of"), "{error}");
    write(&name, "host_key");
    folder(&host, with_file.clone(), "named").put_new("x", body()).await.unwrap();
    // OpenSSH's own program hides the name.
    let hidden = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().unwrap();
    assert!(hidden.status.success() && !std::fs::read_to_string(&file).unwrap().contains("127.0.0.1"));
    folder(&host, with_file, "hidden").put_new("x", body()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_nothing_but_an_rsa_key_is_refused_by_name() {
    let host = SftpHost::with(&["--host-key", "host_key_rsa"]);
    let error = refusal(&host, SftpOptions { host_key: None, ..options_without_key(&host) }).await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("keys of the kinds rsa-sha2-512, rsa-sha2-256 only"), "{error}");
}

fn options_without_key(host: &SftpHost) -> SftpOptions {
    SftpOptions { host: host.address(), user: host.user(), ..SftpOptions::default() }
}

/// Writes a new private key and lets it in.
fn make_key(host: &SftpHost, name: &str, arguments: &[&str]) {
    let path = host.file(name);
    let made = Command::new("ssh-keygen").args(["-q", "-f"]).arg(&path).args(arguments).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let allowed = host.file("authorized_keys");
    let text = std::fs::read_to_string(&allowed).unwrap();
    std::fs::write(allowed, format!("{text}{}\n", host.public_key(name))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_usual_kind_and_format_log_in() {
    let host = SftpHost::new();
    make_key(&host, "ecdsa", &["-t", "ecdsa", "-N", ""]);
    make_key(&host, "rsa", &["-t", "rsa", "-N", ""]);
    make_key(&host, "rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]);
    make_key(&host, "rsa_pkcs8", &["-t", "rsa", "-b", "4096", "-m", "PKCS8", "-N", ""]);
    make_key(&host, "ecdsa_pkcs8", &["-t", "ecdsa", "-m", "PKCS8", "-N", ""]);
    for name in ["key", "rsa", "ecdsa", "rsa_pem", "rsa_pkcs8", "ecdsa_pkcs8"] {
        let with_key = SftpOptions { key_path: Some(host.file(name)), ..options(&host) };
        let put = folder(&host, with_key, name).put_new("x", body()).await;
        assert!(put.is_ok(), "{name}: {put:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_log_in_is_told_why() {
    let host = SftpHost::new();
    make_key(&host, "locked", &["-t", "ed25519", "-N", "SECRETKEPT"]);
    make_key(&host, "locked_pem", &["-t", "rsa", "-m", "PEM", "-N", "SECRETKEPT"]);
    make_key(&host, "short", &["-t", "rsa", "-b", "1024", "-N", ""]);
    let with_key = |path: &Path| SftpOptions { key_path: Some(path.to_owned()), ..options(&host) };
    for (name, text) in [
        ("locked", "protected by a passphrase: make a key without one"),
        ("locked_pem", "protected by a passphrase: make a key without one"),
        ("key.pub", "it is a public key: name the private one"),
        ("short", "RSA keys must have 2048 to 4096 bits"),
        ("sshd_config", "it is no private key"),
        ("missing", "it cannot be read"),
        ("host_key", "the host refuses the login of"),
    ] {
        let error = refusal(&host, with_key(&host.file(name))).await;
        assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, Reason::WrongKey), "{error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
    }
    let error = refusal(&host, with_key(&host.file("host_key"))).await.to_string();
    assert!(error.contains("it would take: publickey"), "{error}");
    let with_password = SftpOptions { key_path: None, password: Some("SECRETKEPT".into()), ..options(&host) };
    let error = refusal(&host, with_password.clone()).await;
    assert!(error.to_string().contains("with the password; it would take: publickey"), "{error}");
    assert!(!format!("{error} {error:?} {with_password:?} {:?}", with_password.clone().open()).contains("SECRETKEPT"));
    let error = refusal(&host, SftpOptions { key_path: None, ..options(&host) }).await.to_string();
    assert!(error.contains("neither key-path nor password, which are not set"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_logs_in_where_it_is_taken_and_where_it_is_asked_for() {
    for arguments in [&[][..], &["--ask"]] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let server = password_host(&root, arguments);
        let with = |password: &str| SftpOptions {
            host: server.address.to_string(),
            user: "backup".into(),
            password: Some(password.into()),
            host_key: Some(std::fs::read_to_string(folder.path().join("password_host_key.pub")).unwrap()),
            ..SftpOptions::default()
        };
        let store = with("SECRETOFTEST").open().folder("/app");
        store.put_new("a/x", body()).await.unwrap();
        let error = store.put_new("a/x", body()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        store.put_over("a/x", Bytes::from_static(b"other").into()).await.unwrap();
        assert_eq!(std::fs::read(root.join("app/a/x")).unwrap(), b"other");
        let error = with("SECRETKEPT").open().folder("/app").head("a/x").await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, Reason::WrongKey), "{error}");
        assert!(error.to_string().contains("the host refuses the login of backup with the password"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_connect_is_told_where() {
    let host = SftpHost::new();
    // The port of a server that was stopped may be another's by now; nobody listens at this address.
    let deaf = SftpOptions { host: "127.9.9.9".into(), ..options(&host) };
    let error = refusal(&host, deaf).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, Reason::Unreachable), "{error}");
    assert!(error.to_string().contains("cannot connect to 127.9.9.9:"), "{error}");
    let nowhere = SftpOptions { host: "host.invalid".into(), ..options(&host) };
    let error = refusal(&host, nowhere).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, Reason::Unreachable), "{error}");
    assert!(error.to_string().contains("cannot connect to host.invalid:22"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lets_nobody_write_says_so() {
    let host = SftpHost::with(&["-R"]);
    let error = refusal(&host, options(&host)).await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("must be allowed to read, write and delete there"), "{error}");
    std::fs::write(host.root().join("x"), "content").unwrap();
    let store = folder(&host, options(&host), "");
    assert_eq!(store.head("x").await.unwrap().size, 7);
    let error = store.delete(&["x".to_owned()]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

/// The server is killed and started again; whoever asks next gets a new connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_broke_is_made_again() {
    let mut host = SftpHost::new();
    let store = folder(&host, options(&host), "app");
    store.put_new("x", body()).await.unwrap();
    let session = store.session(Operation::Put, "x").await.unwrap();
    let stream = store.get("x", ByteRange::All).await.unwrap();
    host.stop();
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = store.head("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    host.start(&[]);
    let mut tries = 0;
    while let Err(error) = store.head("x").await {
        assert!(error.kind() == ErrorKind::Unavailable && tries < 3, "{error}");
        tries += 1;
    }
    assert!(!Arc::ptr_eq(&session, &store.session(Operation::Put, "x").await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_is_removed_at_once_and_what_a_crash_left_behind_after_a_day() {
    let host = SftpHost::new();
    let place = host.root().join("app/a");
    std::fs::create_dir_all(&place).unwrap();
    for (name, age) in [(".x.0123456789abcdef.tmp", 48), (".y.0123456789abcdef.tmp", 1), ("z.tmp", 48)] {
        let file = std::fs::File::create(place.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age * 3600)).unwrap();
    }
    let store = folder(&host, options(&host), "app");
    let endless = Body::stream(|| stream::repeat_with(|| Ok(Bytes::from(vec![1; 1 << 20]))).boxed());
    let putting = store.put_new("a/large", endless);
    assert!(tokio::time::timeout(Duration::from_millis(500), putting).await.is_err());
    wait_for("temporary files to be removed", || all_files(&place) == [".y.0123456789abcdef.tmp", "z.tmp"]).await;
    let listed: Vec<_> = store.list("", None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(listed, []);
}

/// However many wait, a host that cannot be reached is tried once for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_share_a_failure() {
    // Takes connections and says nothing, to the first of which all others wait.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = SftpOptions { host: silent.local_addr().unwrap().to_string(), ..SftpOptions::default() };
    let store = mute.open().folder("");
    let accepted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = silent.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(stream);
        }
    });
    let results = join_all((0..20).map(|_| store.head("x"))).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)));
    assert!(accepted.load(Ordering::SeqCst) <= 2, "{accepted:?} connections");
}

#[test]
fn a_host_may_say_its_port() {
    let cases = [
        ("h", Some(("h", 22))),
        ("h:23", Some(("h", 23))),
        ("10.0.0.1:65535", Some(("10.0.0.1", 65535))),
        ("[::1]:23", Some(("::1", 23))),
        ("[::1]", Some(("::1", 22))),
        ("::1", Some(("::1", 22))),
        ("h:", None),
        ("h:x", None),
        ("h:0", None),
        ("h:65536", None),
        ("[::1]:ssh", None),
    ];
    for (text, expected) in cases {
        assert_eq!(host_and_port(text), expected, "{text}");
    }
}
