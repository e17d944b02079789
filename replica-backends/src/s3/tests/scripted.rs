//! A store that answers as a test says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

/// Answers each request by what `answer` makes of its head, in small letters: a status and a body. The heads are handed
/// on. Bodies of requests come with their heads, or are not read.
pub fn store(answer: fn(&str) -> (&'static str, &'static str)) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heads) = channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (mut request, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
            while !is_whole(&request) {
                match client.read(&mut buffer) {
                    Ok(len) if len > 0 => request.extend_from_slice(&buffer[..len]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
            let (status, body) = answer(&head);
            let (len, body) = (body.len(), if head.starts_with("head") { "" } else { body });
            let date = "Sat, 21 Nov 2026 15:00:00 GMT";
            let _ = write!(
                client,
                "HTTP/1.1 {status}\r\netag: \"x\"\r\nlast-modified: {date}\r\ncontent-length: {len}\r\n\
                 connection: close\r\n\r\n{body}"
            );
            let _ = told.send(head);
        }
    });
    (address, heads)
}

/// Whether the head of a request and all of its body are there.
fn is_whole(request: &[u8]) -> bool {
    let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..at]).to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= at + 4 + len.unwrap_or(0)
}
