//! What holds where the configuration is silent. `litestream.yml.example` states the same, and a test compares them.

use std::time::Duration;

use crate::types::Level;

/// Where the configuration is sought when neither `-config` nor `LITESTREAM_CONFIG` names a file.
pub const CONFIG_PATH: &str = "/etc/litestream.yml";

/// How long at most until a commit is seen if the operating system does not announce it.
pub const MONITOR_INTERVAL: Duration = Duration::from_secs(1);

/// How long a WAL that holds shipped frames may stay before it is checkpointed.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// Pages in the WAL from which on it is checkpointed without making writers wait.
pub const MIN_CHECKPOINT_PAGE_COUNT: u32 = 1_000;

/// Pages in the WAL from which on it is checkpointed even if writers must wait.
pub const MAX_CHECKPOINT_PAGE_COUNT: u32 = 10_000;

/// MiB of WAL from which on replicas that cannot be written are given up, and get a snapshot when they can.
pub const MAX_WAL_MIB: u32 = 1024;

/// Least of that: what is unshipped at a handover is kept in memory up to nearly this.
pub const MAX_WAL_MIB_LEAST: u32 = 16;

/// How long our own connections wait for a lock of the application's.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether a database in another journal mode is put into WAL mode, as Litestream does.
pub const CONVERT_TO_WAL: bool = true;

/// How often all pages of the database file are compared with what was captured.
pub const PAGE_CHECK_INTERVAL: Duration = Duration::from_secs(86_400);

/// How long merged ranges of each level last: five minutes, an hour, a day.
pub const MERGE_INTERVALS: [Option<Duration>; Level::COUNT] =
    [Some(Duration::from_secs(300)), Some(Duration::from_secs(3600)), Some(Duration::from_secs(86_400))];

/// Least time between two uploads to a file replica. It costs nothing to write often, so it is short.
pub const SYNC_INTERVAL_FILE: Duration = Duration::from_millis(50);

/// Least time between two uploads to any other replica; requests there cost money.
pub const SYNC_INTERVAL_REMOTE: Duration = Duration::from_secs(1);

/// How long what a newer snapshot replaces is kept.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Time between two looks for what may be deleted; never longer than the retention itself.
pub const RETENTION_CHECK_INTERVAL: Duration = Duration::from_secs(3600);
