//! A failed system call, and what it means to the caller.

use std::io;

use rustix::io::Errno;

use crate::{Error, ErrorKind, Operation};

/// A failed step of an operation on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(super) struct Failure {
    step: &'static str,
    source: io::Error,
}

impl Failure {
    /// `source` happened while doing `step` ("writing the object").
    pub(super) fn new(step: &'static str, source: impl Into<io::Error>) -> Self {
        Self { step, source: source.into() }
    }

    /// Whether something on the path was missing.
    pub(super) fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The public error of `operation` on `key` of the store at `location`.
    pub(super) fn into_error(self, operation: Operation, key: &str, location: String) -> Error {
        Error::new(kind(&self.source, operation), operation, key, location, self)
    }
}

/// Names the step in which a system call failed.
pub(super) trait During<T> {
    /// Turns an I/O error into a [`Failure`] of `step`.
    fn during(self, step: &'static str) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: &'static str) -> Result<T, Failure> {
        self.map_err(|source| Failure::new(step, source))
    }
}

/// What the caller does about `error`, by its code and never by its text.
///
/// A folder that is missing is an answer to a reader and trouble to a writer: only reads have `NotFound`.
fn kind(error: &io::Error, operation: Operation) -> ErrorKind {
    let reading = matches!(operation, Operation::Get | Operation::Head);
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => ErrorKind::Full,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => ErrorKind::PermissionDenied,
        Some(Errno::EXIST) if operation == Operation::Put => ErrorKind::AlreadyExists,
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) if reading => ErrorKind::NotFound,
        Some(Errno::NAMETOOLONG) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_says_what_the_caller_does() {
        use ErrorKind as K;
        use Operation as O;
        let cases = [
            (Errno::NOSPC, O::Put, K::Full),
            (Errno::DQUOT, O::Put, K::Full),
            (Errno::ACCESS, O::Get, K::PermissionDenied),
            (Errno::PERM, O::Delete, K::PermissionDenied),
            (Errno::ROFS, O::Put, K::PermissionDenied),
            (Errno::EXIST, O::Put, K::AlreadyExists),
            (Errno::NOENT, O::Get, K::NotFound),
            (Errno::NOENT, O::Head, K::NotFound),
            (Errno::NOENT, O::Put, K::Unavailable),
            (Errno::NOTDIR, O::Get, K::NotFound),
            (Errno::NAMETOOLONG, O::Put, K::Invalid),
            (Errno::IO, O::Put, K::Unavailable),
            (Errno::STALE, O::Get, K::Unavailable),
        ];
        for (errno, operation, expected) in cases {
            let error = Failure::new("trying", errno).into_error(operation, "k", String::new());
            assert_eq!(error.kind(), expected, "{errno:?} in {operation}");
        }
    }
}
