//! Errors of object_store become ours: by what the caller does about them, and in words that help.

use object_store::client::HttpError;

use super::answer::Refusal;
use crate::{Error, ErrorKind, Operation};

/// The refusal of the store that `error` comes from, if it is one.
pub(super) fn refusal(error: &object_store::Error) -> Option<&Refusal> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// What `error` means to the caller of `operation` on `key` of the store at `location`.
pub(super) fn translate(error: &object_store::Error, operation: Operation, key: &str, location: &str) -> Error {
    use object_store::Error as E;
    let of = |kind, text: String| Error::new(kind, operation, key, location, text);
    if let Some(refusal) = refusal(error) {
        return of(refusal.kind(), refusal.explain(operation));
    }
    match error {
        E::NotFound { .. } if !matches!(operation, Operation::Get | Operation::Head) => {
            of(ErrorKind::Unavailable, "there is no such bucket at this endpoint: correct bucket or endpoint".into())
        }
        E::NotFound { .. } => of(ErrorKind::NotFound, "there is no such object".into()),
        E::AlreadyExists { .. } | E::Precondition { .. } => {
            of(ErrorKind::AlreadyExists, "the object exists already".into())
        }
        E::InvalidPath { source } => of(ErrorKind::Invalid, source.to_string()),
        _ => of(ErrorKind::Unavailable, root_cause(error)),
    }
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The innermost cause, which says what happened; those around it say that something did.
fn root_cause(error: &object_store::Error) -> String {
    let is_about_http = chain(error).any(|cause| cause.is::<HttpError>());
    let root = chain(error).last().map(ToString::to_string).unwrap_or_default();
    let without_credentials = error.to_string().contains("169.254.");
    match (without_credentials, is_about_http) {
        (true, _) => format!(
            "no credentials: none are configured, and this machine's own cannot be had from its surroundings \
             ({root}); set access-key-id and secret-access-key"
        ),
        (false, true) => format!("the store cannot be reached: {root}"),
        (false, false) => root,
    }
}
