//! What can go wrong in a store, split by what the caller does about it.

use std::fmt;

use crate::Reason;

/// Result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`crate::Backend::put_new`] and [`crate::Backend::put_over`].
    Put,
    /// [`crate::Backend::get`].
    Get,
    /// [`crate::Backend::head`].
    Head,
    /// [`crate::Backend::list`] and [`crate::Backend::list_folders`].
    List,
    /// [`crate::Backend::delete`].
    Delete,
}

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such object. Not retried.
    NotFound,
    /// The object exists already; it was not changed. Not retried: look at what is there.
    AlreadyExists,
    /// The store refuses this user. Retried slowly: an operator has to act.
    PermissionDenied,
    /// The store has no room. Retried: an operator has to act.
    Full,
    /// The caller's own body failed while it was read. Not retried.
    Body,
    /// The key or the request is malformed. Not retried.
    Invalid,
    /// The object is encrypted, and no identity of the configuration opens it. Not retried: an operator has to act.
    NoKey,
    /// The object is encrypted, and the configuration has nobody to read as. Not retried.
    WriteOnly,
    /// The object is encrypted where only plain ones belong. Not retried: an operator has to act.
    Encrypted,
    /// The object is plain where only encrypted ones belong. Not retried: an operator has to act.
    NotEncrypted,
    /// What is stored is not what was encrypted. Not retried.
    Damaged,
    /// Anything else: the network, the disk, the server. Retried.
    Unavailable,
}

/// A failed storage operation: what was tried, on which key, where, and why it failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    reason: Reason,
    operation: Operation,
    key: String,
    location: String,
    source: Box<dyn std::error::Error + Send + Sync>,
    context: Option<String>,
}

impl Error {
    /// An error of `operation` on `key` of the store at `location`, caused by `source`.
    pub fn new(
        kind: ErrorKind,
        operation: Operation,
        key: impl Into<String>,
        location: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let (key, location, source) = (key.into(), location.into(), source.into());
        Self { kind, reason: kind.into(), operation, key, location, source, context: None }
    }

    /// The same error, saying also `context` (how often it was tried, for example). Kind and source stay; an
    /// earlier context stays too, in front.
    #[must_use]
    pub fn with_context(mut self, context: impl fmt::Display) -> Self {
        self.context = Some(match self.context {
            Some(earlier) => format!("{earlier}, {context}"),
            None => context.to_string(),
        });
        self
    }

    /// The same error, of which more is known than its kind.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// What is the matter with the store.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was tried.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The key it was tried on.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Why it failed, without saying what was tried.
    pub(crate) fn cause(&self) -> String {
        self.source.to_string()
    }

    /// What is the matter, said of another key of the same request.
    pub(crate) fn of_key(&self, key: &str) -> Self {
        let error = Self::new(self.kind, self.operation, key, &self.location, self.cause());
        error.because(self.reason)
    }

    /// The same error, of the operation that a step of it served.
    pub(crate) fn during(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    /// Whether the same request may succeed later without anybody changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::PermissionDenied | ErrorKind::Full | ErrorKind::Unavailable)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}: {}", self.operation, self.key, self.location, self.source)?;
        match &self.context {
            Some(context) => write!(f, " ({context})"),
            None => Ok(()),
        }
    }
}

// The cause is part of the message, so that it is neither lost nor said twice.
impl std::error::Error for Error {}
