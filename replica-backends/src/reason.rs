//! What is the matter with a store, for those who watch over it.

use std::fmt;

use crate::ErrorKind;

/// What is the matter with a store: finer than [`ErrorKind`], which says what the caller does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No connection, or none that lasts.
    Unreachable,
    /// These credentials may not do this.
    Denied,
    /// The store does not know the key, or the secret does not fit it.
    WrongKey,
    /// The credentials were good once.
    Expired,
    /// The clocks of store and client differ too much.
    Clock,
    /// The bucket does not exist.
    NoBucket,
    /// The bucket is in another region, or at another endpoint.
    WrongRegion,
    /// The store asks for fewer requests.
    Throttled,
    /// The store has no room.
    Full,
    /// The store has a problem of its own.
    StoreError,
    /// Anything else.
    Other,
}

impl Reason {
    /// As it is written for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Denied => "access-denied",
            Self::WrongKey => "wrong-key",
            Self::Expired => "expired",
            Self::Clock => "clock",
            Self::NoBucket => "no-bucket",
            Self::WrongRegion => "wrong-region",
            Self::Throttled => "throttled",
            Self::Full => "full",
            Self::StoreError => "store-error",
            Self::Other => "other",
        }
    }

    /// Whether it lasts until an operator does something.
    #[must_use]
    pub fn needs_operator(self) -> bool {
        !matches!(self, Self::Unreachable | Self::Throttled | Self::StoreError | Self::Other)
    }
}

impl From<ErrorKind> for Reason {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::Full => Self::Full,
            ErrorKind::NoKey | ErrorKind::WriteOnly | ErrorKind::Encrypted | ErrorKind::NotEncrypted => Self::WrongKey,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
