//! What a server says of files and folders: the answer to PROPFIND (RFC 4918, 9.1 and 14).
//!
//! It is read piece by piece: a folder may have a million files, and their answer half a gigabyte.

use std::time::SystemTime;

use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What is asked for.
pub(super) const QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\"><D:prop>\
    <D:resourcetype/><D:getcontentlength/><D:getlastmodified/></D:prop></D:propfind>";

/// What a server may say of one file, in bytes.
const ELEMENT_LEN_MAX: usize = 1 << 20;

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

/// An answer on its way.
#[derive(Debug, Default)]
pub(super) struct Multistatus {
    found: Vec<Resource>,
    /// What has come and is no whole element yet.
    rest: Vec<u8>,
    /// How much of that is known to hold no end of an element.
    searched: usize,
}

impl Multistatus {
    /// Reads the next piece. Names that are not UTF-8 are left out.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<(), String> {
        self.rest.extend_from_slice(piece);
        let mut done = 0;
        while let Some(end) = self.end_of_response() {
            self.found.extend(response(&self.rest[done..end])?);
            done = end;
        }
        self.rest.drain(..done);
        self.searched -= done;
        if self.rest.len() > ELEMENT_LEN_MAX {
            return Err(format!("one file with more than {ELEMENT_LEN_MAX} bytes of properties"));
        }
        Ok(())
    }

    /// Everything that was found, if the answer is whole.
    pub(super) fn finish(self) -> Result<Vec<Resource>, String> {
        let rest = std::str::from_utf8(&self.rest).map_err(|error| error.to_string())?.trim_end();
        let tag = rest.rfind('<').and_then(|at| rest[at..].strip_prefix('<')?.strip_suffix('>')).unwrap_or_default();
        let name = tag.strip_prefix('/').unwrap_or(tag).trim_end_matches('/');
        let is_end = tag.starts_with('/') || tag.ends_with('/');
        if is_end && local_name(name.as_bytes()) == b"multistatus" {
            return Ok(self.found);
        }
        Err("it does not end with </multistatus>".to_owned())
    }

    /// Behind the next `</response>`; what lies before it is not searched again.
    fn end_of_response(&mut self) -> Option<usize> {
        while let Some(at) = find(&self.rest[self.searched..], b"</") {
            let begin = self.searched + at;
            let Some(len) = find(&self.rest[begin..], b">") else {
                self.searched = begin;
                return None;
            };
            self.searched = begin + len + 1;
            if local_name(&self.rest[begin + 2..begin + len]) == b"response" {
                return Some(self.searched);
            }
        }
        // A `<` at the end may be the first half of `</`.
        self.searched = self.searched.max(self.rest.len().saturating_sub(1));
        None
    }
}

/// The first element `response` in `xml`, which ends with it.
fn response(xml: &[u8]) -> Result<Option<Resource>, String> {
    let is_begin = |at: &usize| {
        let name = xml[at + 1..].split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')).next();
        xml[*at] == b'<' && name.is_some_and(|name| local_name(name) == b"response")
    };
    let begin = (0..xml.len()).find(is_begin).ok_or("an end of a response without its beginning")?;
    let text = std::str::from_utf8(&xml[begin..]).map_err(|error| error.to_string())?;
    let element: ResponseElement = quick_xml::de::from_str(text).map_err(|error| error.to_string())?;
    Ok(resource(&element))
}

/// The name in a tag, without prefix and attributes.
fn local_name(tag: &[u8]) -> &[u8] {
    let name = tag.split(u8::is_ascii_whitespace).next().unwrap_or(tag);
    name.rsplit(|byte| *byte == b':').next().unwrap_or(name)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
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

    fn parse(xml: &[u8]) -> Result<Vec<Resource>, String> {
        let read = |piece_len: usize| {
            let mut multistatus = Multistatus::default();
            xml.chunks(piece_len).try_for_each(|piece| multistatus.read(piece))?;
            multistatus.finish()
        };
        let whole = read(xml.len().max(1));
        for piece_len in [1, 2, 7, 64] {
            assert_eq!(read(piece_len), whole, "in pieces of {piece_len}: {}", String::from_utf8_lossy(xml));
        }
        whole
    }

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
        let cut = "<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/a</D:href></D:response>";
        assert!(parse(cut.as_bytes()).is_err());
        assert!(parse(b"<D:multistatus></D:response></D:multistatus>").is_err());
        for (part, expected) in [("%41%e2%82%ac", Some("A\u{20ac}")), ("%4", None), ("%zz", None), ("%ff", None)] {
            assert_eq!(decode(part).as_deref(), expected, "{part}");
        }
    }

    #[test]
    fn an_answer_of_any_length_is_read_in_bounded_memory() {
        let mut multistatus = Multistatus::default();
        multistatus.read(b"<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">").unwrap();
        let properties = " ".repeat(8000);
        for number in 0..10_000 {
            let element = format!("<D:response><D:href>/{number}</D:href>{properties}</D:response>\n");
            multistatus.read(element.as_bytes()).unwrap();
            assert!(multistatus.rest.capacity() < 64 << 10);
        }
        multistatus.read(b"</D:multistatus>\r\n").unwrap();
        assert_eq!(multistatus.finish().unwrap().len(), 10_000);
        let mut endless = Multistatus::default();
        assert!((0..20_000).any(|_| endless.read(&[b' '; 4096]).is_err()) && endless.rest.len() <= 2 << 20);
    }
}
