//! What a store said when it did not do what it was asked: read once, at the border, and put into words that help.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::Service;
use crate::{ErrorKind, Operation, Reason};

/// How much of a message is shown; some stores answer with pages of HTML.
const MESSAGE_CHARS_MAX: usize = 200;
/// The longest pause that is taken at a store's word.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// The answer of a store that refused, without anything secret: stores repeat what was signed, which is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) status: u16,
    /// The word of S3 for it, such as `NoSuchBucket`; empty if it said none.
    pub(super) code: String,
    message: String,
    /// Whether the credentials were good once.
    expired: bool,
    region: Option<String>,
    /// The clock of the store.
    date: Option<String>,
    pub(super) pause: Option<Duration>,
}

impl Refusal {
    /// Reads an answer that is no success. `body` may be cut.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let text = String::from_utf8_lossy(body);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let code = tag(&text, "Code").or_else(|| header("x-ms-error-code")).unwrap_or_default();
        let pause = header(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
        Self {
            status: status.as_u16(),
            expired: is_of_expired(&code, &text),
            code,
            message: tag(&text, "Message").unwrap_or_default().chars().take(MESSAGE_CHARS_MAX).collect(),
            region: header("x-amz-bucket-region").or_else(|| tag(&text, "Region")),
            date: header(DATE.as_str()),
            pause: pause.map(|seconds| Duration::from_secs(seconds).min(PAUSE_MAX)),
        }
    }

    /// What a store says of one object, in an answer about many.
    pub(super) fn of_one(code: &str, message: &str) -> Self {
        let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let expired = is_of_expired(code, "");
        Self { status: 200, code: code.to_owned(), message, expired, region: None, date: None, pause: None }
    }

    /// Whether it says no more than that this object is not there.
    pub(super) fn is_missing_object(&self) -> bool {
        self.status == 404 && matches!(self.code.as_str(), "" | "NoSuchKey" | "NotFound" | "BlobNotFound")
    }

    /// Whether it says no more than that there is an object already, in words that object_store knows.
    fn is_existing_object(&self) -> bool {
        self.status == 409 && self.code == "BlobAlreadyExists"
    }

    /// Whether the condition of a request was what it minded.
    pub(crate) fn is_unknown_condition(&self) -> bool {
        self.status == 501 || matches!(self.code.as_str(), "NotImplemented" | "InvalidArgument")
    }

    /// Whether nothing of the asked range exists.
    pub(super) fn is_past_the_end(&self) -> bool {
        self.status == 416
    }

    /// Whether the same request may be sent again at once, after a pause.
    fn is_passing(&self) -> bool {
        // 409: somebody else writes this object at this moment.
        matches!(self.status, 408 | 409 | 429 | 500..) && self.kind() != ErrorKind::Full && self.status != 501
    }

    /// The error that makes object_store try again exactly if that makes sense.
    pub(super) fn into_http_error(self) -> HttpError {
        let kind = if self.is_passing() { HttpErrorKind::Request } else { HttpErrorKind::Unknown };
        HttpError::new(kind, self)
    }

    /// What the caller does about it.
    pub(super) fn kind(&self) -> ErrorKind {
        match (self.status, self.code.as_str()) {
            (_, "NoSuchBucket" | "ContainerNotFound" | "NoSuchUpload") => ErrorKind::Unavailable,
            (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity") | (507, _) => ErrorKind::Full,
            (401 | 403, _) | (_, "AccessDenied" | "InvalidToken") => ErrorKind::PermissionDenied,
            _ if self.expired => ErrorKind::PermissionDenied,
            (404, _) => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        }
    }

    /// What is the matter, in a word.
    pub(super) fn reason(&self) -> Reason {
        match (self.status, self.code.as_str()) {
            (_, "RequestTimeTooSkewed") => Reason::Clock,
            _ if self.expired => Reason::Expired,
            (_, "InvalidToken" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthenticationFailed") => {
                Reason::WrongKey
            }
            (_, "NoSuchBucket" | "ContainerNotFound") => Reason::NoBucket,
            (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
            | (301 | 307 | 308, _) => Reason::WrongRegion,
            (401 | 403, _) | (_, "AccessDenied") => Reason::Denied,
            (429 | 503, _) | (_, "SlowDown") => Reason::Throttled,
            _ if self.kind() == ErrorKind::Full => Reason::Full,
            (500.., _) => Reason::StoreError,
            _ => Reason::Other,
        }
    }

    /// What it means and what to do, for `operation`.
    pub(super) fn explain(&self, service: Service, operation: Operation) -> String {
        let meaning = self.meaning(service, operation);
        let said = match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("HTTP status {}", self.status),
            (code, "") => format!("{code}, HTTP status {}", self.status),
            (code, message) => format!("{code}: {message}"),
        };
        if meaning.is_empty() { said } else { format!("{meaning} ({said})") }
    }

    fn meaning(&self, service: Service, operation: Operation) -> String {
        let region = || match &self.region {
            Some(region) => format!("the bucket is in the region {region}: set region to that"),
            None => "the bucket is in another region, or the endpoint is not its own: set region and endpoint".into(),
        };
        match (self.status, self.code.as_str()) {
            (_, "RequestTimeTooSkewed") => {
                let theirs = self.date.as_deref().unwrap_or("unknown");
                format!("the clocks differ too much: the store's says {theirs}; set the clock of this machine")
            }
            _ if self.expired => "the credentials have expired: renew the session token, sas-token or login".into(),
            (_, "InvalidToken") => "the session token is not accepted: check AWS_SESSION_TOKEN".into(),
            (_, "InvalidAccessKeyId") => "the store does not know the access key: check access-key-id".into(),
            (_, "SignatureDoesNotMatch") => {
                "the secret does not fit the access key, or something on the way changes requests: check \
                 secret-access-key, region and endpoint"
                    .into()
            }
            (_, "AuthenticationFailed") => {
                "the credentials do not fit the account, or the clock of this machine is wrong: check account-name, \
                 account-key or sas-token, and the clock"
                    .into()
            }
            (_, "NoSuchBucket" | "ContainerNotFound") => {
                "the bucket does not exist at this endpoint: create it, or correct bucket, region or endpoint".into()
            }
            (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
            | (301 | 307 | 308, _) => region(),
            (401 | 403, _) | (_, "AccessDenied") => {
                format!("access denied: the credentials need {}", service.permission(operation))
            }
            (429 | 503, _) | (_, "SlowDown") => "the store asks for fewer requests".into(),
            (_, "NoSuchUpload") => "the store has dropped the unfinished upload".into(),
            _ if self.kind() == ErrorKind::Full => "the store has no room".into(),
            (500.., _) => "the store has a problem of its own".into(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP status {} {}", self.status, self.code)
    }
}

impl std::error::Error for Refusal {}

/// Whether a service says so, with a word of its own or in a detail: Azure of SAS tokens, and whoever gives tokens for
/// a login (OAuth, RFC 6749 section 5.2) of one that has expired or was revoked.
fn is_of_expired(code: &str, text: &str) -> bool {
    let of_sas = ["Signature not valid in the specified time frame", "Signed expiry time"];
    let detail = tag(text, "AuthenticationErrorDetail").unwrap_or_default();
    matches!(code, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")
        || of_sas.iter().any(|words| detail.starts_with(words))
        || text.contains("\"invalid_grant\"")
}

/// The text of the first element of this name.
fn tag(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim().to_owned())
}

/// Reads what `response` says, and hands it back whole if it is one that object_store understands itself.
pub(super) async fn read(response: HttpResponse) -> Result<Result<HttpResponse, Refusal>, HttpError> {
    let (parts, body) = response.into_parts();
    let body = body.bytes().await?;
    let refusal = Refusal::read(parts.status, &parts.headers, &body);
    if refusal.is_missing_object() || refusal.is_existing_object() {
        return Ok(Ok(HttpResponse::from_parts(parts, body.into())));
    }
    Ok(Err(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(&'static str, &str)], body: &str) -> Refusal {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Refusal::read(StatusCode::from_u16(status).unwrap(), &map, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn of_code(status: u16, code: &str) -> Refusal {
        refusal(status, &[], &format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>"))
    }

    #[test]
    fn what_a_store_says_is_told_apart_and_explained() {
        let cases = [
            (403, "AccessDenied", ErrorKind::PermissionDenied, false, "s3:PutObject", "access-denied"),
            (403, "SignatureDoesNotMatch", ErrorKind::PermissionDenied, false, "secret-access-key", "wrong-key"),
            (403, "InvalidAccessKeyId", ErrorKind::PermissionDenied, false, "access-key-id", "wrong-key"),
            (403, "RequestTimeTooSkewed", ErrorKind::PermissionDenied, false, "set the clock", "clock"),
            (400, "ExpiredToken", ErrorKind::PermissionDenied, false, "expired", "expired"),
            (404, "NoSuchBucket", ErrorKind::Unavailable, false, "create it", "no-bucket"),
            (404, "NoSuchKey", ErrorKind::NotFound, false, "", "other"),
            (301, "PermanentRedirect", ErrorKind::Unavailable, false, "set region", "wrong-region"),
            (409, "ConditionalRequestConflict", ErrorKind::Unavailable, true, "", "other"),
            (429, "TooManyRequests", ErrorKind::Unavailable, true, "fewer requests", "throttled"),
            (503, "SlowDown", ErrorKind::Unavailable, true, "fewer requests", "throttled"),
            (500, "InternalError", ErrorKind::Unavailable, true, "problem of its own", "store-error"),
            (507, "XMinioStorageFull", ErrorKind::Full, false, "no room", "full"),
            (501, "NotImplemented", ErrorKind::Unavailable, false, "", "store-error"),
        ];
        for (status, code, kind, passing, word, reason) in cases {
            let refusal = of_code(status, code);
            assert_eq!((refusal.kind(), refusal.is_passing()), (kind, passing), "{status} {code}");
            assert_eq!(refusal.reason().name(), reason, "{status} {code}");
            let text = refusal.explain(Service::S3, Operation::Put);
            assert!(text.contains(word) && text.contains("so it is"), "{status} {code}: {text}");
        }
    }

    #[test]
    fn credentials_that_have_expired_are_told_from_wrong_ones_by_all_services() {
        let azure = |detail: &str| {
            let xml = "<Error><Code>AuthenticationFailed</Code><Message>no</Message><AuthenticationErrorDetail>";
            refusal(403, &[], &format!("{xml}{detail}</AuthenticationErrorDetail></Error>"))
        };
        let oauth = r#"{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}"#;
        let expired = [
            azure("Signature not valid in the specified time frame: Start [a] - Expiry [b] - Current [c]"),
            azure("Signed expiry time [a] must be after signed start time [b]"),
            refusal(400, &[], oauth),
            of_code(400, "ExpiredTokenException"),
        ];
        for refusal in expired {
            assert_eq!((refusal.kind(), refusal.reason()), (ErrorKind::PermissionDenied, Reason::Expired), "{refusal}");
            assert!(refusal.explain(Service::Azure, Operation::Put).contains("have expired: renew"), "{refusal:?}");
        }
        let wrong = azure("The MAC signature found in the HTTP request is not the same as any computed signature.");
        assert_eq!(wrong.reason(), Reason::WrongKey);
    }

    #[test]
    fn the_region_the_clock_and_the_pause_are_taken_from_where_a_store_says_them() {
        let moved = refusal(301, &[("x-amz-bucket-region", "eu-west-1")], "");
        assert!(moved.explain(Service::S3, Operation::List).contains("region eu-west-1"), "{moved:?}");
        let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>";
        assert!(refusal(400, &[], malformed).explain(Service::S3, Operation::List).contains("region eu-north-1"));
        let skewed = refusal(403, &[("date", "Sat, 21 Nov 2026 15:00:00 GMT")], "<Code>RequestTimeTooSkewed</Code>");
        assert!(skewed.explain(Service::S3, Operation::Get).contains("Sat, 21 Nov 2026 15:00:00 GMT"));
        assert_eq!(refusal(503, &[("retry-after", "3")], "").pause, Some(Duration::from_secs(3)));
        assert_eq!(refusal(503, &[("retry-after", "86400")], "").pause, Some(PAUSE_MAX));
        assert_eq!(refusal(503, &[("retry-after", "Wed, 21 Oct")], "").pause, None);
    }

    #[test]
    fn nothing_that_was_signed_is_repeated() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><AWSAccessKeyId>AKIDEXAMPLE\
                    </AWSAccessKeyId><StringToSign>SECRETISH</StringToSign></Error>";
        let refusal = refusal(403, &[], body);
        for text in [refusal.explain(Service::S3, Operation::Put), format!("{refusal:?}"), refusal.to_string()] {
            assert!(!text.contains("AKIDEXAMPLE") && !text.contains("SECRETISH"), "{text}");
        }
    }
}
