//! Keys of Litestream's that have no meaning here, and what to do about each.

/// A key that is accepted and named in a warning.
#[derive(Debug, PartialEq, Eq)]
pub struct UnusedKey {
    /// How it is spelt.
    pub key: &'static str,
    /// Why it is not used, and what is instead.
    pub advice: &'static str,
}

const fn unused(key: &'static str, advice: &'static str) -> UnusedKey {
    UnusedKey { key, advice }
}

const COMPACTION: &str = "not needed: there are no compaction levels";
const SOCKET: &str = "not supported yet: there is no control socket";
const HEARTBEAT: &str = "not supported yet: watch the metrics instead";
const SHUTDOWN: &str = "not needed: the last changes are shipped on shutdown without it";
const UPLOAD_PARTS: &str = "not needed: uploads are divided as the service requires";
const NATS: &str = "not supported: there are no NATS replicas";
const DIRECTORY: &str = "not supported yet: list every database under dbs";

/// For mappings all of whose keys are used.
pub const NONE: &[UnusedKey] = &[];

/// At the top level.
pub const TOP_LEVEL: &[UnusedKey] = &[
    unused("mcp-addr", "not supported: there is no MCP server"),
    unused("socket", SOCKET),
    unused("levels", COMPACTION),
    unused("l0-retention", COMPACTION),
    unused("l0-retention-check-interval", COMPACTION),
    unused("verify-compaction", COMPACTION),
    unused("validation", "not supported yet: set validation-interval of a replica instead"),
    unused("heartbeat-url", HEARTBEAT),
    unused("heartbeat-interval", HEARTBEAT),
    unused("shutdown-sync-timeout", SHUTDOWN),
    unused("shutdown-sync-interval", SHUTDOWN),
];

/// Under `logging`.
pub const LOGGING: &[UnusedKey] = &[unused("source", "not supported: the log does not name source lines")];

/// Of a database.
pub const DATABASE: &[UnusedKey] = &[
    unused("pattern", DIRECTORY),
    unused("recursive", DIRECTORY),
    unused("watch", DIRECTORY),
    unused("meta-dir", DIRECTORY),
    unused("truncate-page-n", "not needed: set max-checkpoint-page-count to bound the WAL"),
    unused("max-sync-wal-bytes", "not needed: memory is bounded whatever the size of the WAL"),
];

/// Of a replica.
pub const REPLICA: &[UnusedKey] = &[
    unused("auto-recover", "not needed: a replica that cannot be continued gets a new generation by itself"),
    unused("max-sync-ltx-files", "not needed: there are no LTX files"),
    unused("part-size", UPLOAD_PARTS),
    unused("concurrency", UPLOAD_PARTS),
    unused("sign-payload", "not needed: payloads are signed where the service requires it"),
    unused("require-content-md5", "not needed: checksums are sent where the service requires them"),
    unused("concurrent-writes", UPLOAD_PARTS),
    unused("jwt", NATS),
    unused("seed", NATS),
    unused("creds", NATS),
    unused("nkey", NATS),
    unused("username", NATS),
    unused("token", NATS),
    unused("tls", NATS),
    unused("root-cas", NATS),
    unused("client-cert", NATS),
    unused("client-key", NATS),
    unused("max-reconnects", NATS),
    unused("reconnect-wait", NATS),
    unused("timeout", NATS),
];
