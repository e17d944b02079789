use crate::config::{Config, ConfigError, Environment, ReplicaTarget, S3Encryption, S3Target, Secret, parse};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn read(url: &str, keys: &str) -> Result<Config, ConfigError> {
    let environment = Environment { lookup: Box::new(|_| None), home: None, cwd: "/".into() };
    let text = format!("dbs:\n- path: a.db\n  replica:\n    url: '{url}'\n{keys}");
    parse("c.yml", &text, &environment, true)
}

fn target(query: &str, keys: &str) -> S3Target {
    let url = format!("s3://bkt/p?{query}");
    match read(&url, keys).unwrap().databases.remove(0).replicas.remove(0).target {
        ReplicaTarget::S3(target) => target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_query_of_an_s3_url_says_what_keys_say() {
    let minio = "endpoint=http://minio:9000&region=eu-west-1&forcePathStyle=false&skipVerify=true";
    let found = target(minio, "");
    assert_eq!((found.bucket.as_str(), found.path.as_str()), ("bkt", "p"));
    assert_eq!(found.endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!(found.region.as_deref(), Some("eu-west-1"));
    assert!(!found.force_path_style && found.skip_verify);
    assert!(target("endpoint=http://minio:9000", "").force_path_style);
    assert_eq!(
        target("force-path-style=1&storage-class=STANDARD_IA#x", "").storage_class.as_deref(),
        Some("STANDARD_IA")
    );
    assert!(target("force_path_style=yes", "").force_path_style);
    let id = Some("arn:aws:kms:eu-west-1:1:key/x".to_owned());
    let encryption = target("sseKmsKeyId=arn:aws:kms:eu-west-1:1:key%2Fx", "").encryption;
    assert_eq!(encryption, S3Encryption::Kms { key_id: id, twice: false });
    let encryption = target(&format!("sse-customer-key={}", KEY.replace('=', "%3D")), "").encryption;
    assert_eq!(encryption, S3Encryption::Customer(Secret::new(KEY)));
    assert_eq!(target("endpoint=&region=&", ""), target("", ""));
}

#[test]
fn keys_beside_the_url_win_and_the_host_gives_way() {
    let keys = "    endpoint: https://other\n    region: own\n    force-path-style: false\n    skip-verify: false\n";
    let found = target("endpoint=http://minio&region=x&forcePathStyle=true&skipVerify=true", keys);
    assert_eq!((found.endpoint.as_deref(), found.region.as_deref()), (Some("https://other"), Some("own")));
    assert!(!found.force_path_style && !found.skip_verify);
    let config = read("s3://bkt.nyc3.digitaloceanspaces.com/p?region=us-east-1", "").unwrap();
    match &config.databases[0].replicas[0].target {
        ReplicaTarget::S3(target) => assert_eq!(target.region.as_deref(), Some("us-east-1")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endpoint_without_scheme_is_near_or_far() {
    for (endpoint, expected) in [
        ("localhost:9000", "http://localhost:9000"),
        ("minio.local", "http://minio.local"),
        ("192.168.1.2:9000", "http://192.168.1.2:9000"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("8.8.8.8", "https://8.8.8.8"),
        ("minio.example.com:9000", "https://minio.example.com:9000"),
        ("10.example.com", "https://10.example.com"),
    ] {
        assert_eq!(target(&format!("endpoint={endpoint}"), "").endpoint.as_deref(), Some(expected));
    }
}

#[test]
fn unknown_parameters_are_errors_and_useless_ones_are_named() {
    for (url, expected) in [
        ("s3://b/p?endpont=http://x", "unknown parameter \"endpont\" in the query; did you mean \"endpoint\"?"),
        ("s3://b/p?nonsense=hunter2", "unknown parameter \"nonsense\" in the query; it may have endpoint, region"),
        ("s3://b/p?skip-verify=hunter2", "skip-verify is neither true nor false"),
        ("gs://b/p?endpoint=http://x", "the url of a gcs replica has none"),
        ("abs://a@b/p?x", "unknown parameter \"x\""),
        ("sftp://u@h/p?hostKey=x", "unknown parameter \"hostKey\""),
        ("webdav://h/p?x=1", "unknown parameter \"x\""),
        ("s3://b/p?endpoint=%zz", "invalid percent escape"),
        ("s3://b/p?sse-customer-key=hunter2", "is no key of 32 bytes"),
    ] {
        let error = read(url, "").unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("c.yml:"), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{url}: {error}");
    }
    let unused = "sign-payload=true&requireContentMD5=false&partSize=5242880&concurrency=5&sse-customer-key-md5=x";
    let config = read(&format!("s3://b/p?{unused}"), "").unwrap();
    assert_eq!(config.warnings.len(), 5, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("sign-payload has no effect"), "{:?}", config.warnings);
    assert!(read("file:///srv/a?b", "").is_ok());
}
