//! What the host of an `s3://` URL says: a bucket alone, or a bucket at one of the services known by name.

/// Bucket, service and region of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Host {
    /// The bucket, unless the host is that of a service alone.
    pub bucket: Option<String>,
    /// URL of the service, if the host names one.
    pub endpoint: Option<String>,
    /// Region, if the host implies one.
    pub region: Option<String>,
}

/// Services whose host is `REGION` and this, with an optional bucket before it.
const REGION_FIRST: [&str; 4] =
    [".digitaloceanspaces.com", ".linodeobjects.com", ".your-objectstorage.com", ".vultrobjects.com"];

/// Services whose host is `s3.REGION` and this, with an optional bucket before it.
const S3_FIRST: [&str; 3] = [".backblazeb2.com", ".scw.cloud", ".wasabisys.com"];

/// Services that have one host, and the region that they take.
const ONE_HOST: [(&str, Option<&str>); 3] =
    [("s3.filebase.com", None), ("fly.storage.tigris.dev", Some("auto")), ("t3.storage.dev", Some("auto"))];

/// Each account has a host of its own, and no region.
const ACCOUNT_FIRST: &str = ".r2.cloudflarestorage.com";
/// Its buckets have hosts of their own, so it needs no endpoint: `BUCKET.s3.REGION` or `BUCKET.s3` and this.
const AMAZON: &str = ".amazonaws.com";
const LOCALHOST: &str = "localhost";

/// Reads the host, port included. A host of no known service is a bucket of Amazon's; its port means nothing.
#[must_use]
pub fn parse(host: &str) -> S3Host {
    let (name, port) = split_port(host);
    let found = own_host(name, LOCALHOST, "http", Some("us-east-1"))
        .or_else(|| ONE_HOST.iter().find_map(|(service, region)| own_host(name, service, "https", *region)))
        .or_else(|| S3_FIRST.iter().find_map(|suffix| regional(name, suffix, true)))
        .or_else(|| REGION_FIRST.iter().find_map(|suffix| regional(name, suffix, false)))
        .or_else(|| Some(S3Host { region: Some("auto".to_owned()), ..regional(name, ACCOUNT_FIRST, false)? }));
    match found {
        Some(mut found) => {
            if let (Some(endpoint), Some(port)) = (&mut found.endpoint, port) {
                endpoint.push(':');
                endpoint.push_str(port);
            }
            found
        }
        None => amazon(name).unwrap_or_else(|| S3Host { bucket: Some(name.to_owned()), ..S3Host::default() }),
    }
}

/// `BUCKET.s3.REGION` or `BUCKET.s3` at Amazon.
fn amazon(name: &str) -> Option<S3Host> {
    let before = name.strip_suffix(AMAZON)?;
    let (bucket, region) = match before.strip_suffix(".s3") {
        Some(bucket) => (bucket, None),
        None => {
            let (head, region) = before.rsplit_once('.')?;
            (head.strip_suffix(".s3")?, Some(region.to_owned()))
        }
    };
    Some(S3Host { bucket: Some(bucket.to_owned()), endpoint: None, region })
}

/// `SERVICE` or `BUCKET.SERVICE`.
fn own_host(name: &str, service: &str, scheme: &str, region: Option<&str>) -> Option<S3Host> {
    let before = name.strip_suffix(service)?;
    let bucket = if before.is_empty() { None } else { Some(before.strip_suffix('.')?.to_owned()) };
    Some(S3Host { bucket, endpoint: Some(format!("{scheme}://{service}")), region: region.map(str::to_owned) })
}

/// `REGION` or `s3.REGION`, perhaps after `BUCKET.`, and before `suffix`. The bucket may hold dots.
fn regional(name: &str, suffix: &str, s3_first: bool) -> Option<S3Host> {
    let before = name.strip_suffix(suffix)?;
    let (head, region) = match before.rsplit_once('.') {
        Some((head, region)) => (Some(head), region),
        None => (None, before),
    };
    if region.is_empty() {
        return None;
    }
    let (bucket, service) = if s3_first {
        let head = head?;
        let bucket = if head == "s3" { None } else { Some(head.strip_suffix(".s3")?) };
        (bucket, format!("s3.{region}{suffix}"))
    } else {
        (head, format!("{region}{suffix}"))
    };
    Some(S3Host {
        bucket: bucket.map(str::to_owned),
        endpoint: Some(format!("https://{service}")),
        region: Some(region.to_owned()),
    })
}

/// Host and port. Brackets of an IPv6 address stay with it.
#[must_use]
pub fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            (name, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (host, None),
    }
}
