//! The places Lightship keeps replicas.
//!
//! A [`Backend`] speaks keys and bytes only: it knows nothing of generations, segments or seals. Drivers live in
//! one module each ([`mod@file`]; [`mod@sftp`]; [`mod@webdav`]; [`mod@s3`], [`mod@gcs`] and [`mod@azure`] on
//! [`mod@cloud`]); [`layers`] stack on any backend; [`conformance`] is the suite that all must pass.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use replica_backends::file::FileBackend;
//! use replica_backends::layers::{Retry, RetryPolicy};
//! use replica_backends::{Backend, ErrorKind};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let root = folder.path();
//! let file = Arc::new(FileBackend::new(root));
//! let store = Retry::new(file, RetryPolicy::default());
//! store.put_new("wal/00000000", Bytes::from_static(b"frames").into()).await?;
//!
//! let again = store.put_new("wal/00000000", Bytes::from_static(b"others").into()).await;
//! assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
//! assert_eq!(store.head("wal/00000000").await?.size, 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod azure;
mod backend;
pub mod cloud;
#[cfg(any(test, doc, feature = "conformance"))]
pub mod conformance;
mod download;
mod error;
pub mod file;
pub mod gcs;
mod key;
pub mod layers;
mod reason;
pub mod s3;
pub mod sftp;
#[cfg(test)]
#[path = "../../tests/support/store_server.rs"]
mod store_server;
mod temporary;
mod walk;
pub mod webdav;

pub use backend::{Backend, Body, ByteRange, ByteStream, ObjectMeta, Unfinished};
pub use download::{download, joined, read};
pub use error::{Error, ErrorKind, Operation, Result};
pub use reason::Reason;
