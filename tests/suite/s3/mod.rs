//! Replicas in S3: a real server, real programs that write and read the same bucket, and a proxy that fails.

mod append_only;
mod clouds;
mod doctor;
mod economy;
mod encrypted;
mod faults;
mod hour;
mod interop;
mod lies;
mod outage;
mod profiles;
mod proxy;
#[path = "../../support/store_server.rs"]
pub mod server;
mod stage;
mod status;
mod storm;
mod unfinished;
