//! Replicas in S3 that are encrypted with age.

use std::path::Path;
use std::process::Command;

use super::proxy::{Fault, Proxy};
use super::stage::*;
use crate::age::stage::age;

/// Restores from the server itself, as somebody whose configuration says `age`.
fn restored_by(program: &Path, stage: &Stage, age: &str) -> Result<Vec<u8>, String> {
    let (config, output) = (stage.scene.path("reader.yml"), stage.scene.path("restored-elsewhere"));
    let replica = format!(
        "{{type: s3, bucket: bucket, path: app, endpoint: 'http://{}', force-path-style: true, age: {age}}}",
        stage.server.address
    );
    let database = stage.scene.db().display().to_string();
    std::fs::write(&config, format!("dbs:\n  - path: {database}\n    replicas:\n      - {replica}\n")).unwrap();
    let mut command = Command::new(program);
    log_in(&mut command);
    command.arg("restore").arg("-config").arg(&config).arg("-o").arg(&output).arg(stage.scene.db());
    run_restore(command, &output)
}

/// Encryption is random, so what was put twice differs: it is told by what is remembered of each attempt.
#[test]
fn a_put_whose_answer_is_lost_is_recognised_by_who_can_read_it_and_by_who_cannot() {
    for writer in [age(&[0], &[0]), age(&[], &[0, 1])] {
        let mut stage = Stage::new();
        stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
        let proxy = Proxy::before(stage.server.address);
        let stage = stage.via_with(proxy.address, &format!("sync-interval: 100ms, age: {writer}"));
        let mut count = 0;
        proxy.set(move |request| {
            count += u32::from(request.is_object_put());
            if request.is_object_put() && count % 2 == 1 { Fault::LoseReply } else { Fault::None }
        });
        let replicator = stage.replicate_and_wait();
        let mut writer = stage.scene.writer(&["--commits", "40", "--pause", "0.02", "--stay"]);
        writer.commits();
        replicator.stop_well();
        writer.leave();
        let (source, log) = (stage.scene.source(), stage.scene.log());
        assert!(!log.contains("CONFLICT"), "{log}");
        assert!(proxy.requests().iter().any(|request| request.is_object_put() && request.status == Some(412)));
        for program in [Path::new(lightship().get_program()), &litestream("LITESTREAM", "0.3.13")] {
            let restored = restored_by(program, &stage, &age(&[0], &[0]));
            assert!(restored.unwrap() == source, "{}\n{log}", program.display());
        }
    }
}

/// Encryption by the store itself, beside that with age.
#[test]
fn every_object_is_encrypted_by_the_store_as_the_configuration_says() {
    let stage = Stage::new();
    let address = stage.server.address;
    let keys = "sync-interval: 100ms, server-side-encryption: 'aws:kms', sse-kms-key-id: a-key, \
                storage-class: STANDARD_IA";
    let stage = stage.via_with(address, keys);
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--commits", "20", "--pause", "0.02", "--stay"]);
    writer.commits();
    replicator.stop_well();
    writer.leave();
    assert!(stage.keys().len() > 2, "{:?}", stage.keys());
    for key in stage.keys() {
        let head = stage.server.request("HEAD", &format!("/bucket/{key}")).to_ascii_lowercase();
        assert!(head.contains("encryption: aws:kms\r") && head.contains("kms-key-id: a-key\r"), "{key}: {head}");
        let has_class = head.contains("x-amz-storage-class: standard_ia\r");
        assert!(has_class || key.ends_with("create-probe"), "{key}: {head}");
    }
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
}
