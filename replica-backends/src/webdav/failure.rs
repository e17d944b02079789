//! Why a request did not succeed, and what the caller does about it.

use std::time::Duration;

use super::WebdavBackend;
use crate::{Backend, Error, ErrorKind, Operation, Reason};

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the server was silent for {0:?}")]
    Silent(Duration),
    #[error("webdav-url is not a URL that can be used: {0}")]
    Url(String),
    #[error("the server answers with what is no WebDAV: {0}; check webdav-url")]
    Nonsense(String),
    #[error("{}", explain(*.status, .location.as_deref(), .authenticate.as_deref()))]
    Refused {
        status: u16,
        location: Option<String>,
        /// Which way to log in it asks for.
        authenticate: Option<String>,
    },
}

impl Failure {
    /// What the HTTP library says, with the cause, which says most.
    pub(super) fn unreachable(error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::Unreachable(cause.to_string())
    }

    pub(super) fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }

    fn kind(&self, operation: Operation) -> ErrorKind {
        let reading = matches!(operation, Operation::Get | Operation::Head);
        match self.status() {
            Some(404) if reading => ErrorKind::NotFound,
            Some(401 | 403) => ErrorKind::PermissionDenied,
            Some(507) => ErrorKind::Full,
            _ => ErrorKind::Unavailable,
        }
    }

    /// What is the matter, in a word.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) | Self::Silent(_) => Reason::Unreachable,
            Self::Url(_) | Self::Nonsense(_) => Reason::Other,
            Self::Refused { status, .. } => match status {
                401 => Reason::WrongKey,
                403 => Reason::Denied,
                429 | 503 => Reason::Throttled,
                507 => Reason::Full,
                500.. => Reason::StoreError,
                _ => Reason::Other,
            },
        }
    }
}

fn explain(status: u16, location: Option<&str>, authenticate: Option<&str>) -> String {
    let asks_for_basic = authenticate.is_none_or(|text| text.to_ascii_lowercase().contains("basic"));
    let meaning = match status {
        300..=399 => {
            format!("the server is elsewhere ({}): correct webdav-url", location.unwrap_or("it does not say where"))
        }
        401 if !asks_for_basic => {
            "the server wants another kind of login than a user's name and password (Basic)".to_owned()
        }
        401 => "the server refuses the login: check webdav-username and webdav-password".to_owned(),
        403 => "access denied: the user must be allowed to read, write, move and delete there".to_owned(),
        405 | 501 => "the server does not speak WebDAV there: check webdav-url".to_owned(),
        413 => "the server takes no file of this size: raise its limit (nginx: client_max_body_size)".to_owned(),
        411 => "the server takes no file whose length is not known beforehand".to_owned(),
        423 => "somebody has locked the file".to_owned(),
        429 | 503 => "the server asks for fewer requests".to_owned(),
        507 => "the server has no room".to_owned(),
        500.. => "the server has a problem of its own".to_owned(),
        _ => return format!("HTTP status {status}"),
    };
    format!("{meaning} (HTTP status {status})")
}

impl WebdavBackend {
    /// The error of `operation` on `key`, of which `step` ("moving the object") failed.
    pub(super) fn failed(&self, operation: Operation, key: &str, step: &str, failure: &Failure) -> Error {
        let kind = failure.kind(operation);
        if kind == ErrorKind::NotFound {
            return self.not_found(operation, key);
        }
        let error = Error::new(kind, operation, key, self.location(), format!("{step}: {failure}"));
        error.because(failure.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_says_what_the_caller_does() {
        use ErrorKind as K;
        let cases = [
            (401, Operation::Put, K::PermissionDenied, "webdav-password", "wrong-key"),
            (403, Operation::List, K::PermissionDenied, "allowed to", "access-denied"),
            (404, Operation::Get, K::NotFound, "", "other"),
            (404, Operation::Put, K::Unavailable, "404", "other"),
            (405, Operation::List, K::Unavailable, "does not speak WebDAV", "other"),
            (413, Operation::Put, K::Unavailable, "client_max_body_size", "other"),
            (423, Operation::Put, K::Unavailable, "locked", "other"),
            (503, Operation::Put, K::Unavailable, "fewer requests", "throttled"),
            (507, Operation::Put, K::Full, "no room", "full"),
            (500, Operation::Put, K::Unavailable, "problem of its own", "store-error"),
        ];
        for (status, operation, kind, text, reason) in cases {
            let failure = Failure::Refused { status, location: None, authenticate: None };
            assert_eq!((failure.kind(operation), failure.reason().name()), (kind, reason), "{status}");
            assert!(failure.to_string().contains(text), "{status}: {failure}");
        }
        let moved = Failure::Refused { status: 301, location: Some("https://x/".into()), authenticate: None };
        assert!(moved.to_string().contains("elsewhere (https://x/): correct webdav-url"), "{moved}");
        let digest = Failure::Refused { status: 401, location: None, authenticate: Some("Digest realm=x".into()) };
        assert!(digest.to_string().contains("another kind of login"), "{digest}");
    }
}
