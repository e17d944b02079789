//! Errors of object_store become ours: by what the caller does about them, and in words that help.

use object_store::client::HttpError;

use super::Service;
use super::answer::Refusal;
use crate::{Error, ErrorKind, Operation, Reason};

/// The refusal of the store that `error` comes from, if it is one.
pub(super) fn refusal(error: &object_store::Error) -> Option<&Refusal> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// What `error` means to the caller of `operation` on `key` of the store at `location`.
pub(super) fn translate(
    error: &object_store::Error,
    service: Service,
    operation: Operation,
    key: &str,
    location: &str,
) -> Error {
    use object_store::Error as E;
    let of = |kind, text: String| Error::new(kind, operation, key, location, text);
    let refused = |refusal: &Refusal| of(refusal.kind(), refusal.explain(service, operation)).because(refusal.reason());
    if let Some(refusal) = refusal(error) {
        return refused(refusal);
    }
    if let Some(refusal) = of_one_of_many(error) {
        return refused(&refusal);
    }
    match error {
        E::NotFound { .. } if !matches!(operation, Operation::Get | Operation::Head) => {
            let text = "there is no such bucket at this endpoint: correct bucket or endpoint";
            of(ErrorKind::Unavailable, text.into()).because(Reason::NoBucket)
        }
        E::NotFound { .. } => of(ErrorKind::NotFound, "there is no such object".into()),
        E::AlreadyExists { .. } | E::Precondition { .. } => {
            of(ErrorKind::AlreadyExists, "the object exists already".into())
        }
        E::InvalidPath { source } => of(ErrorKind::Invalid, source.to_string()),
        _ => {
            let is_about_http = chain(error).any(|cause| cause.is::<HttpError>());
            let reason = if is_about_http { Reason::Unreachable } else { Reason::Other };
            of(ErrorKind::Unavailable, root_cause(error, service)).because(reason)
        }
    }
}

/// What S3 says of one key, when many are deleted by one request. object_store keeps it as text only, which ends with
/// `MESSAGE (code: AccessDenied)`.
fn of_one_of_many(error: &object_store::Error) -> Option<Refusal> {
    let text = chain(error).last()?.to_string();
    let (rest, code) = text.strip_suffix(')')?.rsplit_once(" (code: ")?;
    let (_, message) = rest.rsplit_once(": ").unwrap_or(("", rest));
    Some(Refusal::of_one(code, message))
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The innermost cause, which says what happened; those around it say that something did.
fn root_cause(error: &object_store::Error, service: Service) -> String {
    let is_about_http = chain(error).any(|cause| cause.is::<HttpError>());
    let named = |cause: &&(dyn std::error::Error + 'static)| is_about_http || !cause.is::<std::io::Error>();
    // That of a file says what, but not which.
    let root = chain(error).filter(named).last().map(ToString::to_string).unwrap_or_default();
    let text = error.to_string();
    let without_credentials = text.contains("169.254.") || text.contains("metadata.google.internal");
    match (without_credentials, is_about_http) {
        (true, _) => format!(
            "no credentials: none are configured, and this machine's own cannot be had from its surroundings \
             ({root}); {}",
            service.credentials()
        ),
        (false, true) => format!("the store cannot be reached: {root}"),
        (false, false) => root,
    }
}
