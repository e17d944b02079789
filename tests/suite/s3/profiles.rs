//! Who logs in, when neither configuration nor environment have keys: a profile of `~/.aws`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::sync::mpsc::{Receiver, channel};

use super::stage::log_in;
use crate::follow::scene::lightship;

/// An empty bucket, which tells who asked for it.
fn empty_bucket() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                match client.read(&mut buffer) {
                    Ok(len) if len > 0 => head.extend_from_slice(&buffer[..len]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&head);
            let credential = head.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
            let token = head.lines().find_map(|line| line.strip_prefix("x-amz-security-token: "));
            let who = [credential, token].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let body = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
            let _ =
                write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = tell.send(who);
        }
    });
    (address, told)
}

/// Lists the bucket at home in a folder with these files below `.aws`.
fn list(files: &[(&str, &str)], profile: Option<&str>) -> (Output, Option<String>) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    for (name, text) in files {
        std::fs::write(home.path().join(".aws").join(name), text).unwrap();
    }
    let (address, told) = empty_bucket();
    let mut command = lightship();
    log_in(&mut command);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env_remove(name);
    }
    command.env("HOME", home.path()).envs(profile.map(|name| ("AWS_PROFILE", name)));
    command.args(["generations", &format!("s3://bucket/app?endpoint=http://{address}&region=us-east-1")]);
    let output = command.output().unwrap();
    (output, told.try_iter().next())
}

const KEYS: (&str, &str) = (
    "credentials",
    "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = kept\n\n\
     [backup]\naws_access_key_id = AKIDBACKUP\naws_secret_access_key = kept\naws_session_token = TOKEN\n",
);

#[test]
fn keys_are_those_of_the_profile() {
    for (profile, who) in [(None, "AKIDDEFAULT"), (Some("backup"), "AKIDBACKUP TOKEN")] {
        let (output, asked) = list(&[KEYS], profile);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(asked.as_deref(), Some(who));
    }
}

#[test]
fn a_command_prints_the_keys_of_a_profile() {
    let keys = r#"{"Version": 1, "AccessKeyId": "AKIDPRINTED", "SecretAccessKey": "kept", "SessionToken": "T"}"#;
    let config = format!("[profile printed]\nregion = eu-west-1\ncredential_process = echo '{keys}'\n");
    let (output, asked) = list(&[KEYS, ("config", &config)], Some("printed"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(asked.as_deref(), Some("AKIDPRINTED T"));
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let (output, asked) = list(&[KEYS], Some("absent"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && asked.is_none(), "{error}");
    assert!(error.contains(r#"no credentials in the profile "absent""#), "{error}");
    assert!(!error.contains("kept"), "{error}");
}
