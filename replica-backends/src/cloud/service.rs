//! What differs between the services when requests fail, in words.

use crate::Operation;

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Amazon S3 and its like.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    /// Whether a completed upload in parts can be told not to replace an object by a header that nobody has signed. The
    /// signatures of Azure cover that header, and Google knows no condition there.
    pub(super) fn large_put_takes_condition(self) -> bool {
        self == Self::S3
    }

    /// The permissions that `operation` needs.
    pub(super) fn permission(self, operation: Operation) -> &'static str {
        match (self, operation) {
            (Self::S3, Operation::Put) => "s3:PutObject, and s3:AbortMultipartUpload for large objects",
            (Self::S3, Operation::Get | Operation::Head) => {
                "s3:GetObject, and s3:ListBucket, without which a missing object looks like a forbidden one"
            }
            (Self::S3, Operation::List) => "s3:ListBucket",
            (Self::S3, Operation::Delete) => "s3:DeleteObject",
            (Self::Gcs, Operation::Put) => "storage.objects.create, and storage.objects.delete to replace objects",
            (Self::Gcs, Operation::Get | Operation::Head) => "storage.objects.get, and storage.objects.list",
            (Self::Gcs, Operation::List) => "storage.objects.list",
            (Self::Gcs, Operation::Delete) => "storage.objects.delete",
            (Self::Azure, _) => "read, write, list and delete on the container (Storage Blob Data Contributor)",
        }
    }

    /// How one states who logs in.
    pub(super) fn credentials(self) -> &'static str {
        match self {
            Self::S3 => "set access-key-id and secret-access-key",
            Self::Gcs => "let GOOGLE_APPLICATION_CREDENTIALS name the key file of a service account",
            Self::Azure => "set account-key or sas-token",
        }
    }
}

/// A URL as it may be shown.
pub(crate) fn without_userinfo(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).trim_end_matches('/');
    scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}"))
}
