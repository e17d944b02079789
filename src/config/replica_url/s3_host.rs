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
const REGION_FIRST: [&str; 2] = [".digitaloceanspaces.com", ".linodeobjects.com"];

/// Services whose host is `s3.REGION` and this, with an optional bucket before it.
const S3_FIRST: [&str; 2] = [".backblazeb2.com", ".scw.cloud"];

const FILEBASE: &str = "s3.filebase.com";
const LOCALHOST: &str = "localhost";

/// Reads the host, port included. A host of no known service is a bucket of Amazon's; its port means nothing.
#[must_use]
pub fn parse(host: &str) -> S3Host {
    let (name, port) = split_port(host);
    let found = own_host(name, LOCALHOST, "http", Some("us-east-1"))
        .or_else(|| own_host(name, FILEBASE, "https", None))
        .or_else(|| S3_FIRST.iter().find_map(|suffix| regional(name, suffix, true)))
        .or_else(|| REGION_FIRST.iter().find_map(|suffix| regional(name, suffix, false)));
    match found {
        Some(mut found) => {
            if let (Some(endpoint), Some(port)) = (&mut found.endpoint, port) {
                endpoint.push(':');
                endpoint.push_str(port);
            }
            found
        }
        None => S3Host { bucket: Some(name.to_owned()), ..S3Host::default() },
    }
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
