//! Replicas in S3: a real server, real programs that write and read the same bucket, and a proxy that fails.

mod economy;
mod faults;
mod interop;
mod outage;
mod proxy;
#[path = "../../support/s3_server.rs"]
mod server;
mod stage;
