//! What is known of a service by the name of its host.

/// How a service differs from Amazon's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    /// The region that its host names, or that all of its buckets are in.
    pub(super) region: Option<String>,
    /// Parts that an upload may have.
    pub(super) parts_max: u64,
    /// Whether many objects can be deleted by one request.
    pub(super) bulk_delete: bool,
}

/// Hosts that are `s3.REGION` or `s3-REGION` and this.
const S3_FIRST: [&str; 5] = [".amazonaws.com", ".amazonaws.com.cn", ".backblazeb2.com", ".scw.cloud", ".wasabisys.com"];
/// Hosts that are `REGION` and this.
const REGION_FIRST: [&str; 4] =
    [".digitaloceanspaces.com", ".linodeobjects.com", ".your-objectstorage.com", ".vultrobjects.com"];
/// Services without regions, which take this word for one.
const ONE_REGION: [&str; 4] =
    [".r2.cloudflarestorage.com", "fly.storage.tigris.dev", "t3.storage.dev", "storage.googleapis.com"];

impl Provider {
    /// The service at `endpoint`, a URL or a host; `None` is Amazon's.
    pub(super) fn of(endpoint: Option<&str>) -> Self {
        let host = endpoint.map(host).unwrap_or_default();
        let auto = ONE_REGION.iter().any(|name| host.ends_with(name)).then(|| "auto".to_owned());
        let after_s3 = S3_FIRST.iter().find_map(|suffix| {
            let before = host.strip_suffix(suffix)?;
            before.strip_prefix("s3.").or_else(|| before.strip_prefix("s3-"))
        });
        let first = REGION_FIRST.iter().find_map(|suffix| host.strip_suffix(suffix));
        let region = after_s3.or(first).filter(|region| !region.is_empty() && !region.contains('.'));
        Self {
            region: auto.or_else(|| region.map(str::to_owned)),
            // scaleway.com/en/docs/object-storage: 1,000 parts; Amazon and the others: 10,000.
            parts_max: if host.ends_with(".scw.cloud") { 1000 } else { 10_000 },
            bulk_delete: host != "storage.googleapis.com",
        }
    }
}

/// The host of a URL, without its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_the_region() {
        let cases = [
            ("https://s3.eu-central-1.wasabisys.com", Some("eu-central-1")),
            ("s3.us-west-002.backblazeb2.com", Some("us-west-002")),
            ("https://nyc3.digitaloceanspaces.com/", Some("nyc3")),
            ("https://fsn1.your-objectstorage.com:443", Some("fsn1")),
            ("https://s3.fr-par.scw.cloud", Some("fr-par")),
            ("https://s3-us-west-2.amazonaws.com", Some("us-west-2")),
            ("https://0123.r2.cloudflarestorage.com", Some("auto")),
            ("https://fly.storage.tigris.dev", Some("auto")),
            ("https://s3.amazonaws.com", None),
            ("http://127.0.0.1:9000", None),
            ("https://minio.example.com", None),
        ];
        for (endpoint, region) in cases {
            assert_eq!(Provider::of(Some(endpoint)).region.as_deref(), region, "{endpoint}");
        }
        assert_eq!(Provider::of(None).region, None);
    }

    #[test]
    fn limits_differ() {
        assert_eq!(Provider::of(Some("https://s3.fr-par.scw.cloud")).parts_max, 1000);
        assert_eq!(Provider::of(None).parts_max, 10_000);
        assert!(!Provider::of(Some("https://storage.googleapis.com")).bulk_delete);
    }
}
