//! What a server says of files and folders: the answer to PROPFIND (RFC 4918, 9.1 and 14).

use std::time::SystemTime;

use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What is asked for.
pub(super) const QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\"><D:prop>\
    <D:resourcetype/><D:getcontentlength/><D:getlastmodified/></D:prop></D:propfind>";

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// Path of its URL, decoded, in parts.
    pub(super) path: Vec<String>,
    pub(super) is_folder: bool,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl Resource {
    pub(super) fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

#[derive(Deserialize)]
struct Multistatus {
    #[serde(default)]
    response: Vec<ResponseElement>,
}

#[derive(Deserialize)]
struct ResponseElement {
    href: String,
    #[serde(default)]
    propstat: Vec<Propstat>,
}

#[derive(Deserialize)]
struct Propstat {
    #[serde(default)]
    prop: Prop,
}

#[derive(Deserialize, Default)]
struct Prop {
    resourcetype: Option<ResourceType>,
    getcontentlength: Option<String>,
    getlastmodified: Option<String>,
}

#[derive(Deserialize)]
struct ResourceType {
    collection: Option<IgnoredAny>,
}

/// Reads an answer. Names that are not UTF-8 are left out.
pub(super) fn parse(xml: &[u8]) -> Result<Vec<Resource>, String> {
    let text = std::str::from_utf8(xml).map_err(|error| error.to_string())?;
    let answer: Multistatus = quick_xml::de::from_str(text).map_err(|error| error.to_string())?;
    Ok(answer.response.iter().filter_map(resource).collect())
}

fn resource(response: &ResponseElement) -> Option<Resource> {
    let mut resource =
        Resource { path: path_of(response.href.trim())?, is_folder: false, size: 0, modified: SystemTime::UNIX_EPOCH };
    for Propstat { prop } in &response.propstat {
        let kind = prop.resourcetype.as_ref();
        resource.is_folder |= kind.is_some_and(|kind| kind.collection.is_some());
        if let Some(size) = prop.getcontentlength.as_ref().and_then(|text| text.trim().parse().ok()) {
            resource.size = size;
        }
        if let Some(time) = prop.getlastmodified.as_ref().and_then(|text| time_of(text.trim())) {
            resource.modified = time;
        }
    }
    Some(resource)
}

fn time_of(text: &str) -> Option<SystemTime> {
    const PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok().map(SystemTime::from)
}

/// The parts of the path of a URL, or of a path alone.
fn path_of(href: &str) -> Option<Vec<String>> {
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => href,
    };
    path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
}

fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let byte = match byte {
            b'%' => u8::try_from(digit(rest.next())? << 4 | digit(rest.next())?).ok()?,
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parts(path: &[&str]) -> Vec<String> {
        path.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn answers_of_several_servers_are_read() {
        let answers = [
            // Apache
            "<?xml version=\"1.0\"?>\n<D:multistatus xmlns:D=\"DAV:\" xmlns:ns0=\"DAV:\">\n<D:response \
             xmlns:lp1=\"DAV:\"><D:href>/dav/a%20b/</D:href><D:propstat><D:prop><lp1:resourcetype><D:collection/>\
             </lp1:resourcetype><lp1:getlastmodified>Sat, 21 Nov 2026 15:00:00 GMT</lp1:getlastmodified></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop><D:getcontentlength/></D:prop>\
             <D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>\n<D:response xmlns:lp1=\"DAV:\">\
             <D:href>/dav/a%20b/x&amp;y</D:href><D:propstat><D:prop><lp1:resourcetype/><lp1:getcontentlength>5\
             </lp1:getcontentlength><lp1:getlastmodified>Sat, 21 Nov 2026 15:00:00 GMT</lp1:getlastmodified></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>",
            // one that names no prefix, and whole URLs
            "<multistatus xmlns=\"DAV:\"><response><href>https://h:1/dav/a%20b</href><propstat><prop><resourcetype>\
             <collection xmlns=\"DAV:\"></collection></resourcetype><getlastmodified>Sat, 21 Nov 2026 15:00:00 GMT\
             </getlastmodified></prop></propstat></response><response><href>https://h:1/dav/a%20b/x%26y</href><propstat>\
             <prop><getcontentlength>5</getcontentlength><getlastmodified>Sat, 21 Nov 2026 15:00:00 GMT\
             </getlastmodified><resourcetype></resourcetype></prop></propstat></response></multistatus>",
        ];
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_273_200);
        let folder = Resource { path: parts(&["dav", "a b"]), is_folder: true, size: 0, modified };
        let file = Resource { path: parts(&["dav", "a b", "x&y"]), is_folder: false, size: 5, modified };
        for answer in answers {
            assert_eq!(parse(answer.as_bytes()).as_deref(), Ok(&[folder.clone(), file.clone()][..]), "{answer}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let empty = "<D:multistatus xmlns:D=\"DAV:\"/>";
        assert_eq!(parse(empty.as_bytes()), Ok(Vec::new()));
        for bad in ["", "<html><body>no</body>", "\u{0}", "<D:multistatus", "{}"] {
            let _ = parse(bad.as_bytes());
        }
        assert!(parse(b"\xff").is_err());
        assert!(parse("<D:multistatus xmlns:D=\"DAV:\"><D:response>".as_bytes()).is_err());
        for (part, expected) in [("%41%e2%82%ac", Some("A\u{20ac}")), ("%4", None), ("%zz", None), ("%ff", None)] {
            assert_eq!(decode(part).as_deref(), expected, "{part}");
        }
    }
}
