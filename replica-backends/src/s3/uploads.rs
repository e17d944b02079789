//! Uploads in parts that S3 keeps until somebody completes or aborts them.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use object_store::aws::AmazonS3;
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use serde::Deserialize;

use crate::cloud::{Connector, KeepsUploads, Service, Upload, client_options};

/// How long the URL of a listing is good.
const URL_LIFE: Duration = Duration::from_secs(300);
/// docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
const ROOT: &str = "ListMultipartUploadsResult";

/// Those of a bucket.
#[derive(Debug)]
pub(super) struct Uploads {
    pub(super) store: AmazonS3,
    pub(super) skip_verify: bool,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Element>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Element {
    key: String,
    upload_id: String,
    initiated: String,
}

#[async_trait]
impl KeepsUploads for Uploads {
    async fn list(&self, prefix: &str) -> object_store::Result<Vec<Upload>> {
        let question = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", prefix)]);
        let url = self.store.signed_url_opts(Method::GET, &Path::default(), URL_LIFE, &question).await?;
        let request = HttpRequest::new(HttpRequestBody::empty());
        let (mut parts, body) = request.into_parts();
        parts.uri = url.as_str().parse().map_err(failed)?;
        // A client of its own, because object_store keeps its to itself; it is rarely needed.
        let client = Connector(Service::S3).connect(&client_options(self.skip_verify))?;
        let response = client.execute(HttpRequest::from_parts(parts, body)).await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(failed(format!("HTTP status {}", response.status())));
        }
        let answer = response.into_body().bytes().await.map_err(failed)?;
        parse(&answer).map_err(|problem| failed(format!("the list of unfinished uploads cannot be read: {problem}")))
    }

    async fn abort(&self, path: &Path, id: &str) -> object_store::Result<()> {
        self.store.abort_multipart(path, &id.to_owned()).await
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: error.into() }
}

fn parse(xml: &[u8]) -> Result<Vec<Upload>, String> {
    let text = std::str::from_utf8(xml).map_err(|error| error.to_string())?;
    if !text.contains(ROOT) {
        return Err(format!("there is no {ROOT} in it"));
    }
    let listing: Listing = quick_xml::de::from_str(text).map_err(|error| error.to_string())?;
    let upload = |Element { key, upload_id, initiated }: Element| {
        let begun: jiff::Timestamp = initiated.trim().parse().map_err(|error| format!("{initiated}: {error}"))?;
        Ok(Upload { path: key, id: upload_id, begun: SystemTime::from(begun) })
    };
    listing.uploads.into_iter().map(upload).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_uploads_is_read() {
        let answer = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListMultipartUploadsResult \
            xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>b</Bucket><KeyMarker/><UploadIdMarker/>\
            <MaxUploads>1000</MaxUploads><IsTruncated>false</IsTruncated><Upload><Key>a &amp; b/x</Key>\
            <UploadId>VXBs.b2Fk</UploadId><Initiator><ID>i</ID></Initiator><StorageClass>STANDARD</StorageClass>\
            <Initiated>2026-11-21T15:00:00.000Z</Initiated></Upload><Upload><Key>c</Key><UploadId>2</UploadId>\
            <Initiated>2026-11-21T15:00:00Z</Initiated></Upload></ListMultipartUploadsResult>";
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_273_200);
        let upload = |path: &str, id: &str| Upload { path: path.into(), id: id.into(), begun };
        assert_eq!(parse(answer.as_bytes()), Ok(vec![upload("a & b/x", "VXBs.b2Fk"), upload("c", "2")]));
        assert_eq!(parse(b"<ListMultipartUploadsResult/>"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_list_of_uploads_is_an_error_and_never_a_panic() {
        let without_time = "<ListMultipartUploadsResult><Upload><Key>c</Key><UploadId>2</UploadId><Initiated>soon\
            </Initiated></Upload></ListMultipartUploadsResult>";
        let cut = "<ListMultipartUploadsResult><Upload><Key>c</Key>";
        for bad in ["", "<html>no</html>", "<ListBucketResult/>", cut, without_time] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"\xff").is_err());
    }
}
