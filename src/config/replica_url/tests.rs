use proptest::prelude::*;

use super::*;

fn s3_target(bucket: &str, path: &str, endpoint: &str, region: &str) -> ReplicaTarget {
    let stated = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ReplicaTarget::S3(S3Target {
        bucket: bucket.to_owned(),
        path: path.to_owned(),
        endpoint: stated(endpoint),
        region: stated(region),
        force_path_style: !endpoint.is_empty(),
        ..S3Target::default()
    })
}

#[test]
fn s3_urls_name_bucket_service_and_region() {
    let cases = [
        ("s3://bkt/path/to/db", ("bkt", "path/to/db", "", "")),
        ("s3://bkt", ("bkt", "", "", "")),
        ("s3://bkt/", ("bkt", "", "", "")),
        ("S3://bkt/p", ("bkt", "p", "", "")),
        ("s3://bkt.localhost:9000/p", ("bkt", "p", "http://localhost:9000", "us-east-1")),
        (
            "s3://bkt.s3.us-west-002.backblazeb2.com/p",
            ("bkt", "p", "https://s3.us-west-002.backblazeb2.com", "us-west-002"),
        ),
        ("s3://bkt.s3.filebase.com/p", ("bkt", "p", "https://s3.filebase.com", "")),
        ("s3://bkt.nyc3.digitaloceanspaces.com/p", ("bkt", "p", "https://nyc3.digitaloceanspaces.com", "nyc3")),
        ("s3://bkt.nyc3.digitaloceanspaces.com:81/p", ("bkt", "p", "https://nyc3.digitaloceanspaces.com:81", "nyc3")),
        ("s3://a.b.nyc3.digitaloceanspaces.com/p", ("a.b", "p", "https://nyc3.digitaloceanspaces.com", "nyc3")),
        ("s3://bkt.s3.fr-par.scw.cloud/p", ("bkt", "p", "https://s3.fr-par.scw.cloud", "fr-par")),
        ("s3://bkt.us-east-1.linodeobjects.com/p", ("bkt", "p", "https://us-east-1.linodeobjects.com", "us-east-1")),
        ("s3://bkt.fsn1.your-objectstorage.com/p", ("bkt", "p", "https://fsn1.your-objectstorage.com", "fsn1")),
        (
            "s3://bkt.s3.eu-central-1.wasabisys.com/p",
            ("bkt", "p", "https://s3.eu-central-1.wasabisys.com", "eu-central-1"),
        ),
        ("s3://bkt.0a1b.r2.cloudflarestorage.com/p", ("bkt", "p", "https://0a1b.r2.cloudflarestorage.com", "auto")),
        ("s3://bkt.t3.storage.dev/p", ("bkt", "p", "https://t3.storage.dev", "auto")),
        ("s3://bkt.s3.us-east-1.amazonaws.com/p", ("bkt", "p", "", "us-east-1")),
        ("s3://a.b.s3.amazonaws.com/p", ("a.b", "p", "", "")),
        ("s3://bkt.ec2.amazonaws.com/p", ("bkt.ec2.amazonaws.com", "p", "", "")),
        ("s3://bkt.minio.example.com:9000/p", ("bkt.minio.example.com", "p", "", "")),
        ("s3://bkt:9000/p", ("bkt", "p", "", "")),
        ("s3://key:secret@bkt/p", ("bkt", "p", "", "")),
        ("s3://bkt/a%20b?region=x", ("bkt", "a b", "", "")),
        ("s3://bkt/a//b/../c/", ("bkt", "a/c", "", "")),
    ];
    for (url, (bucket, path, endpoint, region)) in cases {
        assert_eq!(parse(url), Ok(s3_target(bucket, path, endpoint, region)), "{url}");
    }
}

#[test]
fn other_urls_name_their_places() {
    let gcs = GcsTarget { bucket: "bkt".to_owned(), path: "p".to_owned(), ..GcsTarget::default() };
    assert_eq!(parse("gcs://bkt/p"), Ok(ReplicaTarget::Gcs(gcs.clone())));
    assert_eq!(parse("gs://bkt/p"), Ok(ReplicaTarget::Gcs(gcs)));
    let abs = AbsTarget { container: "cont".to_owned(), path: "p".to_owned(), ..AbsTarget::default() };
    assert_eq!(parse("abs://cont/p"), Ok(ReplicaTarget::Abs(abs.clone())));
    let abs = AbsTarget { account_name: Some("acct".to_owned()), ..abs };
    assert_eq!(parse("abs://acct@cont/p"), Ok(ReplicaTarget::Abs(abs)));
    let sftp = SftpTarget {
        host: "host:22".to_owned(),
        user: "user".to_owned(),
        password: Some(Secret::new("pa@ss")),
        path: "/abs/path".to_owned(),
        ..SftpTarget::default()
    };
    assert_eq!(parse("sftp://user:pa%40ss@host:22/abs/path"), Ok(ReplicaTarget::Sftp(sftp)));
    let webdav = WebdavTarget {
        url: "http://host:81".to_owned(),
        user: Some("user".to_owned()),
        password: Some(Secret::new("pa@ss")),
        path: "a b/c".to_owned(),
        ..WebdavTarget::default()
    };
    assert_eq!(parse("webdav://user:pa%40ss@host:81/a%20b/c/"), Ok(ReplicaTarget::Webdav(webdav)));
    let webdav = WebdavTarget { url: "https://host".to_owned(), ..WebdavTarget::default() };
    assert_eq!(parse("webdavs://host"), Ok(ReplicaTarget::Webdav(webdav)));
}

#[test]
fn the_url_of_a_webdav_server_has_a_path_of_its_own() {
    let server = |url: &str| webdav_server(url).map(|target| (target.url, target.user, target.password));
    let plain = |url: &str| Ok((url.to_owned(), None, None));
    assert_eq!(server("https://h/remote.php/dav/files/a%20b/"), plain("https://h/remote.php/dav/files/a%20b"));
    assert_eq!(server("http://h:81"), plain("http://h:81"));
    let secret = Some(Secret::new("p"));
    assert_eq!(server("http://u:p@h/dav"), Ok(("http://h/dav".to_owned(), Some("u".to_owned()), secret)));
    for bad in ["h/dav", "webdav://h", "ftp://h", ""] {
        assert_eq!(webdav_server(bad), Err(ReplicaUrlError::NotHttp), "{bad}");
    }
    assert_eq!(webdav_server("http://"), Err(ReplicaUrlError::HostRequired(ReplicaKind::Webdav)));
}

#[test]
fn file_urls_name_folders() {
    let cases = [
        ("file:///a/b/", "/a/b/"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("file:///srv/%C3%A9", "/srv/\u{e9}"),
        ("file:///srv/\u{e9}", "/srv/\u{e9}"),
        ("file://rep", "rep"),
        ("file://rep/x", "rep/x"),
        ("file://./rep", "./rep"),
        ("file://~/rep", "~/rep"),
        ("file://localhost/x", "/x"),
        ("file://localhost", "localhost"),
        ("file:/a", "/a"),
        ("file:a", "a"),
        ("file:///a?b#c", "/a?b#c"),
    ];
    for (url, path) in cases {
        assert_eq!(parse(url), Ok(ReplicaTarget::File { path: path.into() }), "{url}");
    }
}

#[test]
fn bad_urls_are_refused_without_showing_passwords() {
    let cases = [
        ("", "replica url scheme required: "),
        ("-exec", "replica url scheme required: -exec"),
        ("/a/b", "replica url scheme required: /a/b"),
        ("://x", "replica url scheme required: ://x"),
        ("1:secret@x", "replica url scheme required: ***@x"),
        ("b/p?sse-customer-key=secret", "replica url scheme required: b/p"),
        ("ftp://x", "unknown replica type in url: \"ftp\"; known are file, s3, gcs, abs, sftp, webdav and webdavs"),
        ("file://", "file replica path required"),
        ("file:///a%", "invalid percent escape in replica url; write %25 for a percent sign"),
        ("file:///a%4", "invalid percent escape in replica url; write %25 for a percent sign"),
        ("file:///a%zz", "invalid percent escape in replica url; write %25 for a percent sign"),
        ("file:///a%00", "invalid percent escape in replica url; write %25 for a percent sign"),
        ("s3://b/%ff", "replica url is not UTF-8 once decoded"),
        ("s3://", "bucket required for s3 replica"),
        ("s3:///p", "bucket required for s3 replica"),
        ("s3://nyc3.digitaloceanspaces.com/p", "bucket required for s3 replica"),
        ("s3://localhost:9000/p", "bucket required for s3 replica"),
        ("s3://s3.filebase.com/p", "bucket required for s3 replica"),
        ("s3://s3.us-west-002.backblazeb2.com/p", "bucket required for s3 replica"),
        ("gcs:///p", "bucket required for gcs replica"),
        ("abs://a@/p", "bucket required for abs replica"),
        ("sftp:///p", "host required for sftp replica"),
        ("webdav:///p", "host required for webdav replica"),
    ];
    for (url, message) in cases {
        assert_eq!(parse(url).map_err(|e| e.to_string()), Err(message.to_owned()), "{url}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let target = parse("sftp://user:hunter2@host/p").unwrap();
    assert_eq!(target.to_string(), "sftp://user@host/p");
    assert!(!format!("{target:?}").contains("hunter2"));
    let target = parse("webdavs://user:hunter2@host:81/p").unwrap();
    assert_eq!(target.to_string(), "webdavs://host:81/p");
    assert!(!format!("{target:?}").contains("hunter2"));
}

#[test]
fn an_argument_is_a_url_if_it_has_a_scheme_and_slashes() {
    for url in ["file://x", "s3://", "a_b1://x"] {
        assert!(is_url(url), "{url}");
    }
    for path in ["", "file:x", "/a/b", "://x", "a-b://x", "a/b://x", "C:/x"] {
        assert!(!is_url(path), "{path}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(url in "(file|s3|gcs|abs|sftp|webdavs?|x)?:?/{0,3}[a-z0-9.@:%/?#é ]*|.*") {
        let _ = parse(&url);
        let _ = is_url(&url);
    }
}
