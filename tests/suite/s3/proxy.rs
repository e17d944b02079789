//! A proxy between a client and an S3 server that does to requests what networks and stores do.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing bad.
    None,
    /// The connection breaks before the request gets anywhere.
    Refuse,
    /// The connection is reset after so many bytes of the body; the store gets nothing.
    Reset(usize),
    /// The store is not asked; this is its answer.
    Status(u16, &'static str),
    /// The store does it, and nobody hears of it.
    LoseReply,
    /// The answer breaks off after so many bytes.
    CutReply(usize),
    /// It takes this much longer.
    Delay(Duration),
    /// The store does not see the condition of the request, and so overwrites.
    IgnoreCondition,
    /// No answer ever comes.
    Hang,
    /// The store is not asked to delete, and it is said to have done so.
    LieAboutDeletion,
    /// A listing is the first one that was asked for in the same words.
    StaleList,
    /// A listing is in the opposite order.
    ShuffledList,
}

/// A request that came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether it is not to replace anything.
    pub conditional: bool,
    /// What the store answered; `None` if it was not asked.
    pub status: Option<u16>,
}

impl Request {
    /// Whether it lists.
    pub fn is_list(&self) -> bool {
        self.method == "GET" && self.target.contains("list-type=")
    }

    /// Whether it deletes.
    pub fn is_deletion(&self) -> bool {
        self.method == "DELETE" || self.method == "POST" && self.target.ends_with("?delete")
    }

    /// Whether it creates `generations/...` or replaces it, in one request.
    pub fn is_object_put(&self) -> bool {
        self.method == "PUT" && self.target.contains("/generations/") && !self.is_part()
    }

    /// Whether it puts a part, of which nothing is seen yet.
    pub fn is_part(&self) -> bool {
        self.method == "PUT" && self.target.contains("partNumber=")
    }

    /// Whether it makes an object of the parts of `generations/...`.
    pub fn completes_object(&self) -> bool {
        self.method == "POST" && self.target.contains("/generations/") && self.target.contains("uploadId=")
    }

    /// The path of its target.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

type Plan = Box<dyn FnMut(&Request) -> Fault + Send>;

struct Shared {
    upstream: SocketAddr,
    plan: Mutex<Plan>,
    requests: Mutex<Vec<Request>>,
    /// The first answer to each listing.
    lists: Mutex<HashMap<String, Vec<u8>>>,
    ended: AtomicBool,
}

/// The proxy; it ends when dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Proxy {
    /// Stands before `upstream`, at first without faults.
    pub fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (plan, requests): (Mutex<Plan>, _) = (Mutex::new(Box::new(|_| Fault::None)), Mutex::default());
        let shared =
            Arc::new(Shared { upstream, plan, requests, lists: Mutex::default(), ended: AtomicBool::new(false) });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if for_thread.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&for_thread);
                // A client that goes away is what this is about.
                std::thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Self { shared, address }
    }

    /// From now on `plan` decides what happens to each request.
    pub fn set(&self, plan: impl FnMut(&Request) -> Fault + Send + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
    }

    /// Everything that came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Forgets what came so far.
    pub fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// One request; the connection is not kept.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (head, begun) = read_head(&mut client)?;
        let mut words = head.split(' ').map(str::to_owned);
        let mut request = Request {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            conditional: head.to_ascii_lowercase().contains("\nif-none-match:"),
            status: None,
        };
        let fault = (self.plan.lock().unwrap())(&request);
        if let Fault::Reset(len) = fault {
            self.requests.lock().unwrap().push(request);
            // What is unread when a socket is closed makes a reset of it.
            return client.take(len.saturating_sub(begun.len()) as u64).read_to_end(&mut Vec::new()).map(drop);
        }
        let body = read_body(&mut client, &head, begun)?;
        let lies = fault == Fault::LieAboutDeletion && request.is_deletion();
        let is_asked = !lies && !matches!(fault, Fault::Refuse | Fault::Status(..) | Fault::Hang);
        if let Fault::Delay(time) = fault {
            std::thread::sleep(time);
        }
        let mut reply = Vec::new();
        if is_asked {
            let mut upstream = TcpStream::connect(self.upstream)?;
            upstream.write_all(forwarded(&head, fault == Fault::IgnoreCondition).as_bytes())?;
            upstream.write_all(&body)?;
            upstream.read_to_end(&mut reply)?;
            request.status = reply.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        }
        if lies {
            reply = as_if_deleted(&body);
        } else if request.is_list() && request.status == Some(200) {
            reply = self.listing(&request.target, reply, fault);
        }
        self.requests.lock().unwrap().push(request);
        match fault {
            Fault::Refuse | Fault::LoseReply => Ok(()),
            Fault::CutReply(len) => client.write_all(&reply[..len.min(reply.len())]),
            Fault::Status(status, code) => {
                let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
                let len = body.len();
                write!(client, "HTTP/1.1 {status} x\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}")
            }
            Fault::Hang => {
                while !self.ended.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(())
            }
            _ => client.write_all(&reply),
        }
    }
}

impl Shared {
    /// What a client sees of a listing.
    fn listing(&self, target: &str, reply: Vec<u8>, fault: Fault) -> Vec<u8> {
        let mut lists = self.lists.lock().unwrap();
        let first = lists.entry(target.to_owned()).or_insert_with(|| reply.clone());
        match fault {
            Fault::StaleList => first.clone(),
            Fault::ShuffledList => reversed(&String::from_utf8_lossy(&reply)).into_bytes(),
            _ => reply,
        }
    }
}

/// What S3 says when it has deleted what `body` names; without a body it was one object.
fn as_if_deleted(body: &[u8]) -> Vec<u8> {
    let asked = String::from_utf8_lossy(body);
    let keys = asked.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
    let deleted: String = keys.map(|(key, _)| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
    let xml = format!("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{deleted}</DeleteResult>");
    let (status, xml) = if body.is_empty() { ("204 No Content", "") } else { ("200 OK", xml.as_str()) };
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{xml}", xml.len()).into_bytes()
}

/// The same objects from the last to the first.
fn reversed(reply: &str) -> String {
    let (begin, end) = ("<Contents>", "</Contents>");
    let (Some(from), Some(to)) = (reply.find(begin), reply.rfind(end)) else { return reply.to_owned() };
    let objects: Vec<&str> = reply[from..to + end.len()].split_inclusive(end).collect();
    let objects: String = objects.into_iter().rev().collect();
    format!("{}{objects}{}", &reply[..from], &reply[to + end.len()..])
}

/// The head of a request, and what of its body came with it.
fn read_head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let head_len = loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..len]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let begun = bytes.split_off(head_len);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), begun))
}

/// The whole body of the request with this head.
fn read_body(stream: &mut TcpStream, head: &str, mut body: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let len =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let missing = len.unwrap_or(0_usize).saturating_sub(body.len());
    stream.take(missing as u64).read_to_end(&mut body)?;
    Ok(body)
}

/// The head as the store gets it.
fn forwarded(head: &str, without_condition: bool) -> String {
    let dropped = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !(line.starts_with("connection:") || without_condition && line.starts_with("if-none-match:"))
    };
    let kept: Vec<&str> = head.trim_end().lines().filter(dropped).collect();
    format!("{}\r\nconnection: close\r\n\r\n", kept.join("\r\n"))
}
