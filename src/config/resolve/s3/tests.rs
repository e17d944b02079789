use std::collections::HashMap;

use crate::config::{ConfigError, Environment, ReplicaTarget, S3Login, S3Target, Secret, parse};

fn target(keys: &str, top: &str, variables: &[(&str, &str)]) -> Result<S3Target, ConfigError> {
    target_of(&format!("url: 's3://b/p'{keys}"), top, variables)
}

fn target_of(keys: &str, top: &str, variables: &[(&str, &str)]) -> Result<S3Target, ConfigError> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let lookup = Box::new(move |name: &str| variables.get(name).cloned());
    let environment = Environment { lookup, home: None, cwd: "/srv".into() };
    let text = format!("{top}\ndbs: [{{path: a.db, replicas: [{{{keys}}}]}}]\n");
    match parse("c.yml", &text, &environment, true)?.databases.remove(0).replicas.remove(0).target {
        ReplicaTarget::S3(target) => Ok(target),
        other => panic!("{other:?}"),
    }
}

fn keys(id: &str, secret: &str, token: Option<&str>) -> S3Login {
    S3Login::Keys {
        access_key_id: Secret::new(id),
        secret_access_key: Secret::new(secret),
        session_token: token.map(Secret::new),
    }
}

const AWS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "aws"), ("AWS_SECRET_ACCESS_KEY", "aws-secret"), ("AWS_SESSION_TOKEN", "token")];
const LITESTREAM: [(&str, &str); 2] =
    [("LITESTREAM_ACCESS_KEY_ID", "ls"), ("LITESTREAM_SECRET_ACCESS_KEY", "ls-secret")];

#[test]
fn credentials_are_taken_in_this_order() {
    let own = ", access-key-id: own, secret-access-key: own-secret";
    let top = "access-key-id: top\nsecret-access-key: top-secret";
    let both = [&AWS[..], &LITESTREAM[..]].concat();
    let login = |keys, top, variables: &[_]| target(keys, top, variables).unwrap().login;
    assert_eq!(login(own, top, &both), keys("own", "own-secret", None));
    assert_eq!(login("", top, &both), keys("top", "top-secret", None));
    assert_eq!(login("", "", &both), keys("aws", "aws-secret", Some("token")));
    assert_eq!(login("", "", &AWS[..2]), keys("aws", "aws-secret", None));
    assert_eq!(login("", "", &LITESTREAM), keys("ls", "ls-secret", None));
    assert_eq!(
        login("", "", &[("AWS_ACCESS_KEY_ID", ""), LITESTREAM[0], LITESTREAM[1]]),
        keys("ls", "ls-secret", None)
    );
    assert_eq!(login("", "", &[]), S3Login::Machine);
}

#[test]
fn half_of_the_keys_is_refused() {
    let error = target(", access-key-id: own", "", &[]).unwrap_err().to_string();
    assert_eq!(error, "c.yml:2: dbs[0].replicas[0]: access-key-id without secret-access-key");
    let error = target("", "", &AWS[1..2]).unwrap_err().to_string();
    assert_eq!(error, "c.yml:2: dbs[0].replicas[0]: secret-access-key without access-key-id");
}

#[test]
fn the_surroundings_offer_credentials() {
    let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn")];
    let container = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    let pod = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t")];
    let login = |variables: &[_]| target("", "", variables).unwrap().login;
    let web = S3Login::WebIdentity { token_file: "/token".into(), role_arn: "arn".into(), session_name: None };
    assert_eq!(login(&[identity[0], identity[1], container]), web);
    let profile = ("AWS_PROFILE", "backup");
    assert_eq!(login(&[identity[0], identity[1], profile]), web);
    assert_eq!(login(&[container, profile]), S3Login::Profile("backup".into()));
    assert_eq!(login(&[identity[0], container]), S3Login::Container("/v2/x".into()));
    assert_eq!(login(&pod), S3Login::Pod("http://x".into(), "/t".into()));
    assert_eq!(login(&[pod[0]]), S3Login::Machine);
}

#[test]
fn the_region_of_the_environment_is_amazons() {
    let of_environment = [("AWS_REGION", "eu-west-1")];
    let region = |keys, top| target(keys, top, &of_environment).unwrap().region;
    assert_eq!(region("", "").as_deref(), Some("eu-west-1"));
    assert_eq!(region(", region: own", "region: top").as_deref(), Some("own"));
    assert_eq!(region("", "region: top").as_deref(), Some("top"));
    assert_eq!(region(", endpoint: 'http://x'", ""), None);
}

#[test]
fn the_bucket_stands_in_the_host_name_only_where_it_can() {
    let path_style = |keys: &str| target_of(&format!("type: s3, {keys}"), "", &[]).unwrap().force_path_style;
    assert!(!path_style("bucket: b"));
    assert!(path_style("bucket: www.example.com"));
    assert!(path_style("bucket: b, endpoint: 'https://x'"));
    assert!(!path_style("bucket: www.example.com, force-path-style: false"));
}

#[test]
fn a_path_of_keys_is_cleaned_as_that_of_a_url() {
    for (path, expected) in [("./x", "x"), ("a//b", "a/b"), ("/a/b/", "a/b"), ("a/../b/.", "b"), ("/", ""), ("..", "")]
    {
        let keys = format!("type: s3, bucket: b, path: '{path}'");
        assert_eq!(target_of(&keys, "", &[]).unwrap().path, expected, "{path}");
    }
}

#[test]
fn a_login_in_the_endpoint_is_not_shown() {
    let shown = |endpoint: &str| {
        let target = target(&format!(", endpoint: '{endpoint}'"), "", &[]).unwrap();
        ReplicaTarget::S3(target).to_string()
    };
    assert_eq!(shown("http://user:hunter2@minio:9000/"), "s3://b/p at http://minio:9000");
    assert_eq!(shown("user:hunter2@minio:9000"), "s3://b/p at minio:9000");
    assert_eq!(shown("https://minio/x@y"), "s3://b/p at https://minio/x@y");
}
