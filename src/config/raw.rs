//! The configuration as its author typed it: every key optional, nothing decided.
//!
//! Reading is strict, because a key that is silently passed over is a backup that silently differs from what was
//! asked for: an unknown key, a key given twice, a value of the wrong kind is an error with line and column.
//! Only this file names the YAML crate.

mod line;
mod mapping;
mod unused;
mod value;

use serde::Deserialize;

pub use line::line_of;
pub use unused::UnusedKey;
pub use value::{Interval, Keeping, List, Switch, WholeNumber};

use super::expand::UnsetVariable;
use super::{ConfigError, Secret};
use mapping::keys;

keys! {
    /// The whole file.
    pub struct RawConfig at "the top level", unused::TOP_LEVEL {
        addr: String = "addr",
        dbs: List<RawDatabase> = "dbs",
        exec: String = "exec",
        logging: RawLogging = "logging",
        snapshot: RawSnapshot = "snapshot",
        retention: RawRetention = "retention",
        // Defaults of every replica, as in Litestream 0.3 (the first two) and 0.5 (the rest).
        access_key_id: Secret = "access-key-id",
        secret_access_key: Secret = "secret-access-key",
        sync_interval: Interval = "sync-interval",
        region: String = "region",
        endpoint: String = "endpoint",
        force_path_style: Switch = "force-path-style",
        skip_verify: Switch = "skip-verify",
    }
}

keys! {
    /// What is logged.
    pub struct RawLogging at "logging", unused::LOGGING {
        level: String = "level",
        kind: String = "type",
        stderr: Switch = "stderr",
    }
}

keys! {
    /// Litestream 0.5's way to say when snapshots are taken and how long they are kept.
    pub struct RawSnapshot at "snapshot", unused::NONE {
        interval: Interval = "interval",
        retention: Interval = "retention",
    }
}

keys! {
    /// Litestream 0.5's way to say that nothing is to be deleted.
    pub struct RawRetention at "retention", unused::NONE {
        enabled: Switch = "enabled",
    }
}

keys! {
    /// One database.
    pub struct RawDatabase at "a database", unused::DATABASE {
        path: String = "path",
        dir: String = "dir",
        meta_path: String = "meta-path",
        monitor_interval: Interval = "monitor-interval",
        checkpoint_interval: Interval = "checkpoint-interval",
        min_checkpoint_page_count: WholeNumber = "min-checkpoint-page-count",
        max_checkpoint_page_count: WholeNumber = "max-checkpoint-page-count",
        max_wal_mib: WholeNumber = "max-wal-mib",
        busy_timeout: Interval = "busy-timeout",
        convert_to_wal: Switch = "convert-to-wal",
        merge_intervals: List<Interval> = "merge-intervals",
        page_check_interval: Interval = "page-check-interval",
        restore_if_db_not_exists: Switch = "restore-if-db-not-exists",
        snapshot: RawSnapshot = "snapshot",
        replica: RawReplica = "replica",
        replicas: List<RawReplica> = "replicas",
    }
}

keys! {
    /// One replica of a database.
    pub struct RawReplica at "a replica", unused::REPLICA {
        kind: String = "type",
        name: String = "name",
        path: String = "path",
        // May hold a password.
        url: Secret = "url",
        retention: Keeping = "retention",
        append_only: Switch = "append-only",
        retention_check_interval: Interval = "retention-check-interval",
        sync_interval: Interval = "sync-interval",
        snapshot_interval: Interval = "snapshot-interval",
        validation_interval: Interval = "validation-interval",
        access_key_id: Secret = "access-key-id",
        secret_access_key: Secret = "secret-access-key",
        region: String = "region",
        bucket: String = "bucket",
        endpoint: String = "endpoint",
        force_path_style: Switch = "force-path-style",
        skip_verify: Switch = "skip-verify",
        storage_class: String = "storage-class",
        server_side_encryption: String = "server-side-encryption",
        sse_kms_key_id: String = "sse-kms-key-id",
        sse_customer_algorithm: String = "sse-customer-algorithm",
        sse_customer_key: Secret = "sse-customer-key",
        sse_customer_key_path: String = "sse-customer-key-path",
        account_name: String = "account-name",
        account_key: Secret = "account-key",
        sas_token: Secret = "sas-token",
        host: String = "host",
        user: String = "user",
        password: Secret = "password",
        key_path: String = "key-path",
        host_key: String = "host-key",
        // May hold a password.
        webdav_url: Secret = "webdav-url",
        webdav_username: String = "webdav-username",
        webdav_password: Secret = "webdav-password",
        age: RawAge = "age",
    }
}

keys! {
    /// Which states are kept for how long.
    pub struct RawTier at "an item of retention", unused::NONE {
        every: Interval = "every",
        span: Interval = "for",
    }
}

keys! {
    /// Encryption of a replica.
    pub struct RawAge at "age", unused::NONE {
        identities: List<Secret> = "identities",
        recipients: List<String> = "recipients",
    }
}

/// Where each key is at home; for the author who put one in the wrong place.
const HOMES: [(&[&str], &str); 6] = [
    (RawConfig::NAMES, RawConfig::PLACE),
    (RawDatabase::NAMES, RawDatabase::PLACE),
    (RawReplica::NAMES, RawReplica::PLACE),
    (RawLogging::NAMES, RawLogging::PLACE),
    (RawSnapshot::NAMES, RawSnapshot::PLACE),
    (RawAge::NAMES, RawAge::PLACE),
];

/// Reads the text of a configuration. An empty text is an empty configuration.
///
/// For errors: `file` is its name, and `unset` are the variables that expanded to nothing.
pub fn parse(file: &str, text: &str, unset: &[UnsetVariable]) -> Result<RawConfig, ConfigError> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else { return Ok(RawConfig::default()) };
    let config = Option::<RawConfig>::deserialize(first).map_err(|error| syntax_error(file, &error, unset))?;
    if documents.next().is_some() {
        return Err(ConfigError::invalid(file, "more than one YAML document; remove the lines `---`"));
    }
    Ok(config.unwrap_or_default())
}

fn syntax_error(file: &str, error: &serde_yaml::Error, unset: &[UnsetVariable]) -> ConfigError {
    let text = error.to_string();
    let Some(location) = error.location() else { return ConfigError::invalid(file, text) };
    let (line, column) = (location.line(), location.column());
    let repeated = format!(" at line {line} column {column}");
    let message = match text.strip_suffix(&repeated) {
        Some(message) => message.to_owned(),
        None => text.replacen(&format!("{repeated},"), ",", 1),
    };
    let unset = unset.iter().filter(|variable| variable.line == line).cloned().collect();
    ConfigError::Syntax { file: file.to_owned(), line, column, message, unset }
}

#[cfg(test)]
mod tests;
