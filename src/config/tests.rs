use std::path::PathBuf;
use std::time::Duration;

use replica_backends::layers::AgeKeys;

use super::*;

fn environment() -> Environment {
    let lookup = |name: &str| match name {
        "BUCKET" => Some("bkt".to_owned()),
        "PASSWORD" => Some("hunter2".to_owned()),
        _ => None,
    };
    Environment { lookup: Box::new(lookup), home: Some("/home/ann".into()), cwd: "/srv".into() }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    parse("c.yml", text, &environment(), true)
}

fn error_of(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

/// A configuration of one database with one replica whose keys are `replica`.
fn with_replica(replica: &str) -> String {
    let replica = replica.trim_end().replace('\n', "\n        ");
    format!("dbs:\n  - path: a.db\n    replicas:\n      - {replica}\n")
}

fn replica(keys: &str) -> ReplicaConfig {
    read(&with_replica(keys)).unwrap().databases.remove(0).replicas.remove(0)
}

fn database(keys: &str) -> DatabaseConfig {
    read(&format!("dbs:\n  - path: a.db\n    {keys}\n")).unwrap().databases.remove(0)
}

const SECRET_KEY: &str = "AGE-SECRET-KEY-1LZHPJVD9ADU2HVHHZYRP9LL4A7Q7RPFLDN9AJY4A4E3MR5ASN46S68PURX";
const PUBLIC_KEY: &str = "age1zg3z703l4c0jdhh7v7653hahewfpcks2uhzqd8c6htfpamvg6ukqremm7v";

#[test]
fn a_short_configuration_gets_all_defaults() {
    let config = read("dbs:\n  - path: ~/a.db\n    replicas:\n      - path: backup\n").unwrap();
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(config.logging, Logging { level: LogLevel::Info, format: LogFormat::Text, stderr: false });
    let database = &config.databases[0];
    assert_eq!(database.path, Path::new("/home/ann/a.db"));
    assert_eq!(database.meta_path, Path::new("/home/ann/.a.db-lightship"));
    assert_eq!(database.monitor_interval, Duration::from_secs(1));
    assert_eq!(database.checkpoint_interval, Some(Duration::from_secs(60)));
    assert_eq!(database.min_checkpoint_page_count, 1000);
    assert_eq!(database.max_checkpoint_page_count, Some(10_000));
    assert_eq!(database.busy_timeout, Duration::from_secs(1));
    assert!(database.convert_to_wal);
    let replica = &database.replicas[0];
    assert_eq!(replica.name, "file");
    assert_eq!(replica.target, ReplicaTarget::File { path: "/srv/backup".into() });
    assert_eq!(replica.sync_interval, Duration::from_millis(50));
    assert_eq!(replica.retention, Some(Duration::from_secs(86_400)));
    assert_eq!(replica.retention_check_interval, Duration::from_secs(3600));
    assert_eq!((replica.snapshot_interval, replica.validation_interval), (None, None));
    assert_eq!(replica.age, AgeKeys::default());
}

#[test]
fn keys_of_a_database_are_used() {
    assert_eq!(database("meta-path: ./m").meta_path, Path::new("./m"));
    assert_eq!(database("monitor-interval: 100ms").monitor_interval, Duration::from_millis(100));
    assert_eq!(database("checkpoint-interval: 0").checkpoint_interval, None);
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(database("merge-intervals: [1h]").merge_intervals, [hour, None, None]);
    assert_eq!(database("merge-intervals: []").merge_intervals, [None; 3]);
    assert_eq!(database("").merge_intervals, defaults::MERGE_INTERVALS);
    assert_eq!(database("checkpoint-interval: -1s").checkpoint_interval, None);
    assert_eq!(database("checkpoint-interval: 5s").checkpoint_interval, Some(Duration::from_secs(5)));
    assert_eq!(database("page-check-interval: 0").page_check_interval, None);
    assert_eq!(database("page-check-interval: 1h").page_check_interval, hour);
    assert_eq!(database("min-checkpoint-page-count: 7").min_checkpoint_page_count, 7);
    assert_eq!(database("max-checkpoint-page-count: 7").max_checkpoint_page_count, Some(7));
    assert_eq!(database("max-checkpoint-page-count: 0").max_checkpoint_page_count, None);
    assert_eq!(database("max-checkpoint-page-count: -1").max_checkpoint_page_count, None);
    assert_eq!(database("max-wal-mib: 64").max_wal_bytes, 64 << 20);
    assert_eq!(database("busy-timeout: 3s").busy_timeout, Duration::from_secs(3));
    assert!(!database("convert-to-wal: off").convert_to_wal);
    for prefix in ["sqlite://", "sqlite3://"] {
        let config = read(&format!("dbs: [{{path: '{prefix}/x/a.db'}}]")).unwrap();
        assert_eq!(config.databases[0].path, Path::new("/x/a.db"));
    }
}

#[test]
fn keys_of_a_replica_are_used() {
    assert_eq!(replica("path: r\nname: n").name, "n");
    assert_eq!(replica("path: r\nsync-interval: 5s").sync_interval, Duration::from_secs(5));
    assert_eq!(replica("path: r\nretention: 7d").retention, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(replica("path: r\nretention: 0").retention, None);
    assert_eq!(replica("path: r\nretention: -1h").retention, None);
    assert_eq!(replica("path: r\nretention: 5m").retention_check_interval, Duration::from_secs(300));
    assert_eq!(replica("path: r\nretention-check-interval: 5m").retention_check_interval, Duration::from_secs(300));
    assert_eq!(replica("path: r\nsnapshot-interval: 1h").snapshot_interval, Some(Duration::from_secs(3600)));
    assert_eq!(replica("path: r\nsnapshot-interval: 0").snapshot_interval, None);
    assert_eq!(replica("path: r\nvalidation-interval: 1h").validation_interval, Some(Duration::from_secs(3600)));
    assert_eq!(replica("url: s3://b/p").sync_interval, Duration::from_secs(1));
    assert_eq!(replica("url: s3://b/p").name, "s3");
    assert_eq!(replica("url: file://rep").target, ReplicaTarget::File { path: "/srv/rep".into() });
    assert_eq!(replica("url: file:///a//b/../c").target, ReplicaTarget::File { path: "/a/c".into() });
    assert_eq!(replica("url: file://~/rep").target, ReplicaTarget::File { path: "/home/ann/rep".into() });
    let age = replica(&format!("path: r\nage:\n  identities: [{SECRET_KEY}]\n  recipients: [{PUBLIC_KEY}]")).age;
    assert_eq!(age, AgeKeys::parse([SECRET_KEY], [PUBLIC_KEY]).unwrap());
    assert!(age.can_read_back());
}

#[test]
fn targets_take_keys_urls_and_the_top_level_in_this_order() {
    let s3 = |keys: &str, top: &str| {
        let config = read(&format!("{}{top}", with_replica(keys))).unwrap();
        match config.databases[0].replicas[0].target.clone() {
            ReplicaTarget::S3(target) => target,
            other => panic!("{other:?}"),
        }
    };
    let text = |text: &str| Some(text.to_owned());
    let target = s3("type: s3\nbucket: ${BUCKET}\npath: p", "");
    assert_eq!((target.bucket.as_str(), target.path.as_str(), target.force_path_style), ("bkt", "p", false));
    assert!(s3("type: s3\nbucket: b\nendpoint: http://x", "").force_path_style);
    assert!(!s3("type: s3\nbucket: b\nendpoint: http://x\nforce-path-style: no", "").force_path_style);
    let url = "url: s3://b.nyc3.digitaloceanspaces.com/p";
    let target = s3(&format!("{url}\nregion: r"), "region: top\nendpoint: http://top\n");
    assert_eq!((target.region, target.endpoint), (text("r"), text("https://nyc3.digitaloceanspaces.com")));
    let target = s3("url: s3://b/p", "region: top\nendpoint: http://top\naccess-key-id: id\nsecret-access-key: key\n");
    assert_eq!((target.region, target.endpoint), (text("top"), text("http://top")));
    let keys = |id: &str, secret: &str| S3Login::Keys {
        access_key_id: Secret::new(id),
        secret_access_key: Secret::new(secret),
        session_token: None,
    };
    assert_eq!(target.login, keys("id", "key"));
    assert!(s3("url: s3://b/p\nskip-verify: on", "").skip_verify);

    let abs = AbsTarget {
        account_name: text("acct"),
        login: AbsLogin::Key(Secret::new("key")),
        container: "c".to_owned(),
        path: "p".to_owned(),
        endpoint: text("http://e"),
    };
    let keys = "type: abs\nbucket: c\npath: p\naccount-name: acct\naccount-key: key\nendpoint: http://e";
    assert_eq!(replica(keys).target, ReplicaTarget::Abs(abs));
    let gcs = GcsTarget { bucket: "b".to_owned(), path: "p".to_owned(), ..GcsTarget::default() };
    assert_eq!(replica("type: gs\nbucket: b\npath: p").target, ReplicaTarget::Gcs(gcs));
    let sftp = SftpTarget {
        host: "h:22".to_owned(),
        user: "u".to_owned(),
        password: Some(Secret::new("hunter2")),
        key_path: Some("/home/ann/k".into()),
        host_key: text("ssh-ed25519 AAAA"),
        known_hosts: vec!["/home/ann/.ssh/known_hosts".into(), "/etc/ssh/ssh_known_hosts".into()],
        path: "/p".to_owned(),
    };
    let keys = "type: sftp\nhost: h:22\nuser: u\npassword: $PASSWORD\nkey-path: ~/k\nhost-key: ssh-ed25519 AAAA\n\
                path: /p";
    assert_eq!(replica(keys).target, ReplicaTarget::Sftp(sftp));
    let webdav = WebdavTarget {
        url: "https://h/dav".to_owned(),
        user: text("u"),
        password: Some(Secret::new("hunter2")),
        skip_verify: true,
        path: "p".to_owned(),
    };
    let keys = "type: webdav\nwebdav-url: https://x:y@h/dav/\nwebdav-username: u\nwebdav-password: $PASSWORD\n\
                skip-verify: on\npath: p";
    assert_eq!(replica(keys).target, ReplicaTarget::Webdav(webdav));
}

#[test]
fn nonsense_is_refused_in_the_words_of_litestream() {
    let place = "c.yml:4: dbs[0].replicas[0]: ";
    let cases = [
        ("name: n", "file replica path required"),
        ("type: s3", "bucket required for s3 replica"),
        ("type: gcs", "bucket required for gcs replica"),
        ("type: abs", "bucket required for abs replica"),
        ("type: sftp", "host required for sftp replica"),
        ("type: sftp\nhost: h", "user required for sftp replica"),
        ("url: sftp://h/p", "user required for sftp replica"),
        ("url: sftp://u@h:ssh/p", "the port of the host \"h:ssh\" is not a number such as 22"),
        ("type: nats", "unknown replica type in config: \"nats\""),
        ("url: s3://b/p\npath: x", "cannot specify url & path for s3 replica"),
        ("url: file:///p\npath: x", "cannot specify url & path for file replica"),
        ("url: s3://b/p\nbucket: x", "cannot specify url & bucket for s3 replica"),
        ("url: gcs://b/p\nbucket: x", "cannot specify url & bucket for gcs replica"),
        ("url: sftp://u@h/p\nhost: x", "cannot specify url & host for sftp replica"),
        ("path: r\nage: {}", "age requires identities or recipients, none of them empty"),
        ("path: r\nage: {recipients: ['']}", "age requires identities or recipients, none of them empty"),
        ("url: /x", "replica url scheme required: /x"),
        ("path: sftp://u:hunter2@h/x", "replica path cannot be a url, please use the 'url' field instead: ***@h/x"),
        ("path: r\nsync-interval: 0", "sync-interval must be more than 0, such as 1s"),
        ("path: r\nsync-interval: -1s", "sync-interval must be more than 0, such as 1s"),
        ("path: r\nretention-check-interval: 0", "retention-check-interval must be more than 0, such as 1s"),
    ];
    for (keys, message) in cases {
        assert_eq!(error_of(&with_replica(keys)), format!("{place}{message}"));
    }
    let cases = [
        ("dbs: [{}]", "c.yml:1: dbs[0]: database path required"),
        ("dbs: [{path: a, monitor-interval: 0}]", "c.yml:1: dbs[0]: monitor-interval must be more than 0, such as 1s"),
        (
            "dbs: [{path: a, min-checkpoint-page-count: 0}]",
            "c.yml:1: dbs[0]: minimum checkpoint page count required; it must be more than 0",
        ),
        (
            "dbs: [{path: a, min-checkpoint-page-count: 99999999999}]",
            "c.yml:1: dbs[0]: min-checkpoint-page-count is more than 4294967295",
        ),
        ("dbs: [{path: a}, {path: ./a}]", "c.yml:1: dbs[1]: the database /srv/a is listed twice"),
        (
            "dbs: [{path: a, meta-path: m}, {path: b, meta-path: /srv/m}]",
            "c.yml:1: dbs[1]: two databases have the same meta-path: /srv/m",
        ),
        (
            "dbs: [{path: a, replicas: [{path: x}, {path: y}]}]",
            "c.yml:1: dbs[0].replicas[1]: duplicate replica name: \"file\"; tell them apart with name",
        ),
        (
            "dbs: [{path: a, replicas: [{path: x}]}, {path: b, replica: {url: 'file://x'}}]",
            "c.yml: two replicas have the same place: file:///srv/x; give each its own path",
        ),
        (
            "dbs: [{path: a, replicas: [], replica: {path: x}}]",
            "c.yml:1: dbs[0]: cannot specify replica & replicas on a database",
        ),
        (
            "dbs: [{dir: d, pattern: '*.db'}]",
            "c.yml:1: dbs[0]: dir is not supported yet, and none of its databases would be backed up; \
             list every database with path",
        ),
        ("addr: '9090'", "c.yml:1: addr: must specify port for bind address: \"9090\""),
        ("addr: '[::1]'", "c.yml:1: addr: must specify port for bind address: \"[::1]\""),
        ("logging: {type: xml}", "c.yml:1: logging.type: \"xml\" is neither text nor json"),
    ];
    for (text, message) in cases {
        assert_eq!(error_of(text), message);
    }
    assert!(error_of("dbs: [{path: a, restore-if-db-not-exists: true}]").contains("is not supported yet"));
}

#[test]
fn an_unset_variable_is_named_where_something_is_missing() {
    assert_eq!(
        error_of(&with_replica("type: s3\nbucket: $BUCKT")),
        "c.yml:4: dbs[0].replicas[0]: bucket required for s3 replica; these environment variables are not set and \
         expand to nothing: BUCKT (line 5)"
    );
    assert_eq!(
        error_of("dbs:\n  - path: a\n    monitor-interval: x$TIME\n"),
        "c.yml:3:23: dbs[0].monitor-interval: \"x\" is not a duration; write a number with a unit, such as 500ms, \
         10s, 5m, 1h30m or 7d; these environment variables are not set and expand to nothing: TIME (line 3)"
    );
    let config = read("# $NOBODY\ndbs: [{path: a, replica: {path: r}}]\nexec: $NOPE\n").unwrap();
    assert_eq!(config.exec, None);
    assert_eq!(config.warnings, ["c.yml: line 3: environment variable NOPE is not set; nothing stands for it"]);
}

#[test]
fn expansion_can_be_turned_off() {
    let config = parse("c.yml", "dbs: [{path: '/$BUCKET'}]", &environment(), false).unwrap();
    assert_eq!(config.databases[0].path, Path::new("/$BUCKET"));
    assert_eq!(read("dbs: [{path: '/$BUCKET'}]").unwrap().databases[0].path, Path::new("/bkt"));
}

#[test]
fn keys_of_litestream_0_5_are_translated() {
    let text = "snapshot: {interval: 6h, retention: 72h}\ndbs:\n\
                - {path: a, replica: {path: x}}\n\
                - {path: b, snapshot: {interval: 1h}, replica: {path: y, retention: 5h}}\n";
    let config = read(text).unwrap();
    let intervals = |number: usize| {
        let replica = &config.databases[number].replicas[0];
        (replica.snapshot_interval.unwrap().as_secs() / 3600, replica.retention.unwrap().as_secs() / 3600)
    };
    assert_eq!((intervals(0), intervals(1)), ((6, 72), (1, 5)));
    let kept = read("retention: {enabled: false}\ndbs: [{path: a, replica: {path: x}}]").unwrap();
    assert_eq!(kept.databases[0].replicas[0].retention, None);
    let quick = read("sync-interval: 3s\ndbs: [{path: a, replica: {path: x}}]").unwrap();
    assert_eq!(quick.databases[0].replicas[0].sync_interval, Duration::from_secs(3));
}

#[test]
fn keys_without_meaning_are_warned_of() {
    let text = "mcp-addr: ':1'\nlogging: {type: pretty, level: loud, source: true}\ndbs:\n\
                - {path: a, truncate-page-n: 5, replica: {path: x, part-size: 5MB, bucket: b, type: s4, url: ~}}\n";
    let warnings = read(&text.replace(", type: s4, url: ~", "")).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "c.yml: mcp-addr: has no effect; not supported: there is no MCP server",
            "c.yml: logging.source: has no effect; not supported: the log does not name source lines",
            "c.yml: logging.level: \"loud\" is none of debug, info, warn, error; info is used",
            "c.yml: logging.type: pretty is not supported; text is used",
            "c.yml: dbs[0].truncate-page-n: has no effect; not needed: set max-checkpoint-page-count to bound the WAL",
            "c.yml: dbs[0].replica.part-size: has no effect; not needed: uploads are divided as the service requires",
            "c.yml: dbs[0].replica.bucket: has no effect on a file replica",
        ]
    );
    let config = read(&with_replica("type: s3\nurl: file:///x")).unwrap();
    assert_eq!(config.warnings, ["c.yml: dbs[0].replicas[0].type: has no effect; the url says file"]);
    assert_eq!(read("").unwrap().warnings, ["c.yml: no databases specified in configuration"]);
    let config = read("dbs: [{path: a}]").unwrap();
    assert_eq!(config.warnings, ["c.yml: dbs[0]: /srv/a has no replicas and is not backed up"]);
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    let config = read(&with_replica(&format!("path: r\nage: {{identities: [{SECRET_KEY}]}}"))).unwrap();
    let error = config.ensure_writable().unwrap_err().to_string();
    assert!(error.contains("no recipients") && error.contains(PUBLIC_KEY), "{error}");
    assert!(!error.contains("SECRET"), "{error}");
    let error = read(&with_replica("path: r\nage: {recipients: [age1x]}")).unwrap_err().to_string();
    assert!(error.contains("replicas[0].age: recipients[0]: this is no public key of age"), "{error}");
    let blind = format!("path: r\nvalidation-interval: 1h\nage: {{recipients: [{PUBLIC_KEY}]}}");
    let error = read(&with_replica(&blind)).unwrap_err().to_string();
    assert!(error.contains("validation-interval: needs age: identities"), "{error}");
}

#[test]
fn databases_are_found_by_path() {
    let config = read("dbs: [{path: a}, {path: /x/b}]").unwrap();
    for path in ["a", "./a", "/srv/a", "sqlite:///srv/a"] {
        assert_eq!(config.database(Path::new(path), &environment()).unwrap().path, Path::new("/srv/a"));
    }
    let error = config.database(Path::new("c"), &environment()).unwrap_err().to_string();
    assert_eq!(error, "database not found in config: /srv/c; configured: /srv/a, /x/b");
    let error = Config::default().database(Path::new("c"), &environment()).unwrap_err().to_string();
    assert_eq!(error, "database not found in config: /srv/c; none is configured");
}

#[test]
fn urls_alone_are_a_configuration() {
    let urls = ["file://x", "s3://b/p", "file:///y"].map(str::to_owned);
    let config = Config::from_urls(Path::new("a.db"), &urls, &environment()).unwrap();
    let database = &config.databases[0];
    assert_eq!(database.path, Path::new("/srv/a.db"));
    let names: Vec<&str> = database.replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["file", "s3", "file-2"]);
    assert_eq!(database.replica("file-2").unwrap().target, ReplicaTarget::File { path: "/y".into() });
    let refused = |urls: &[&str]| {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        Config::from_urls(Path::new("a.db"), &urls, &environment()).unwrap_err().to_string()
    };
    assert_eq!(refused(&["-exec"]), "replica url scheme required: -exec");
    assert_eq!(refused(&["s3://"]), "bucket required for s3 replica");
    assert!(refused(&["file://x", "file:///srv/x"]).starts_with("two replicas have the same place"));
}

#[test]
fn files_are_loaded_or_the_reason_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yml");
    let missing = load(&path, &environment(), true).unwrap_err().to_string();
    assert_eq!(missing, format!("config file not found: {}", path.display()));
    std::fs::write(&path, "\u{feff}dbs:\n  - path: a\n").unwrap();
    assert_eq!(load(&path, &environment(), true).unwrap().databases.len(), 1);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load(&path, &environment(), true).unwrap_err().to_string().starts_with("cannot read config file"));
    std::fs::write(&path, "dbz: 1\n").unwrap();
    let error = load(&path, &environment(), true).unwrap_err().to_string();
    assert_eq!(error, format!("{}:1:1: unknown key \"dbz\"; did you mean \"dbs\"?", path.display()));
}

#[test]
fn secrets_are_not_shown() {
    let keys = format!("type: sftp\nhost: h\nuser: u\npassword: $PASSWORD\nage: {{identities: [{SECRET_KEY}]}}");
    let config = read(&with_replica(&keys)).unwrap();
    let shown = format!("{config:?} {:?}", config.warnings);
    assert!(!shown.contains("hunter2") && !shown.contains(SECRET_KEY));
    let error = read(&with_replica("path: r\nage: {identities: [$PASSWORD]}")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(!format!("{:?}", environment()).contains("hunter2"));
    for url in ["sftp://u:hunter2@", "sftp://u:hunter2@h:x/%zz", "x://u:hunter2@h", "u:hunter2@h", "//u:hunter2@h/"] {
        let error = error_of(&with_replica(&format!("url: '{url}'")));
        assert!(!error.contains("hunter2"), "{url}: {error}");
    }
}

const EXAMPLE: &str = include_str!("../../litestream.yml.example");

#[test]
fn the_example_states_the_defaults() {
    let config = parse("litestream.yml.example", EXAMPLE, &environment(), true).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(config.logging, Logging::default());
    let path = PathBuf::from("/var/lib/app/app.db");
    let target = ReplicaTarget::File { path: "/mnt/backup/app".into() };
    let replica = ReplicaConfig { name: "local".to_owned(), ..ReplicaConfig::with_defaults(target) };
    let expected = DatabaseConfig { replicas: vec![replica], ..DatabaseConfig::with_defaults(path) };
    assert_eq!(config.databases, [expected]);
    assert!(EXAMPLE.contains("Default for the other types: 1s."));
    assert_eq!(defaults::SYNC_INTERVAL_REMOTE, Duration::from_secs(1));
    for line in EXAMPLE.lines().filter(|line| !line.starts_with('#') && line.contains("default: ")) {
        let value = line.split_once(": ").unwrap().1.split_whitespace().next().unwrap();
        let default = line.rsplit_once("default: ").unwrap().1;
        assert!(value == default || default.starts_with("the "), "{line}");
    }
}

#[test]
fn the_example_with_everything_on_is_valid_and_complete() {
    let text: String = EXAMPLE.lines().map(|line| format!("{}\n", line.strip_prefix("#-").unwrap_or(line))).collect();
    let value = |name: &str| match name {
        "AGE_SECRET_KEY" => SECRET_KEY,
        "SSE_CUSTOMER_KEY" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        _ => "value",
    };
    let all_set = Environment { lookup: Box::new(move |name| Some(value(name).to_owned())), ..environment() };
    let config = parse("litestream.yml.example", &text, &all_set, true).unwrap();
    assert_eq!(config.databases.len(), 2);
    assert_eq!(config.databases[0].replicas.len(), 7);
    let homes = [
        raw::RawConfig::NAMES,
        raw::RawLogging::NAMES,
        raw::RawSnapshot::NAMES,
        raw::RawRetention::NAMES,
        raw::RawDatabase::NAMES,
        raw::RawReplica::NAMES,
        raw::RawAge::NAMES,
    ];
    // Not supported, and instead of a key.
    let left_out = ["dir", "sse-customer-key-path"];
    for key in homes.into_iter().flatten().filter(|key| !left_out.contains(key)) {
        let stated = text.lines().any(|line| line.trim_start_matches([' ', '-']).starts_with(&format!("{key}:")));
        assert!(stated, "{key} is not in the example");
    }
}

mod arbitrary;
