//! An upload larger than any test's disk, to a server that counts what it gets and keeps nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;

use super::options;
use crate::{Backend, Body};

const MIB: u64 = 1 << 20;
/// docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html; the last part may be smaller.
const PART_BYTES: std::ops::RangeInclusive<u64> = 5 * MIB..=5 << 30;
const PARTS_MAX: u64 = 10_000;

/// What came.
#[derive(Debug, Default)]
struct Seen {
    /// Number and bytes of each part.
    parts: Vec<(u64, u64)>,
    /// How many parts the request had that completed the upload.
    completed: Option<usize>,
}

fn discarding_server() -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Seen>>::default());
    let for_threads = Arc::clone(&seen);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let seen = Arc::clone(&for_threads);
            std::thread::spawn(move || {
                let mut client = BufReader::new(client);
                // Until the client hangs up.
                while serve(&mut client, &seen).is_ok() {}
            });
        }
    });
    (address, seen)
}

/// One request of a connection that is kept.
fn serve(client: &mut BufReader<TcpStream>, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let part = target.split_once("partnumber=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok());
    let mut body = client.take(len);
    let (status, answer) = match (&head[..4], part) {
        ("put ", Some(number)) => {
            let len = io::copy(&mut body, &mut io::sink())?;
            seen.lock().unwrap().parts.push((number, len));
            ("200 OK", "")
        }
        ("post", _) if target.contains("uploadid=") => {
            let mut list = String::new();
            body.read_to_string(&mut list)?;
            seen.lock().unwrap().completed = Some(list.matches("<Part>").count());
            ("200 OK", "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
        }
        ("post", _) => {
            ("200 OK", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        }
        ("head", _) => ("404 Not Found", ""),
        // What is put in one request, to see whether that replaces, is there already.
        _ => {
            io::copy(&mut body, &mut io::sink())?;
            ("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>")
        }
    };
    let head = format!("HTTP/1.1 {status}\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n", answer.len());
    client.get_mut().write_all(format!("{head}{answer}").as_bytes())
}

/// The most memory that this process has had so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// `LIGHTSHIP_UPLOAD_GIB` is how large it is. Parts of the least size hold 43 GiB, with a tenth of their number to
/// spare; without the setting a short upload says that it may be longer than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_upload_keeps_to_the_limits_of_parts_and_of_memory() {
    let gib: u64 = std::env::var("LIGHTSHIP_UPLOAD_GIB").map_or(0, |text| text.parse().unwrap());
    let (said, mib) = if gib == 0 { (64 << 30, 44) } else { (gib << 30, gib << 10) };
    let (address, seen) = discarding_server();
    let folder = options(&format!("http://{address}")).open().folder("app");
    // Each chunk has memory of its own.
    let chunk = |n| io::Result::Ok(Bytes::from(vec![n as u8 | 1; MIB as usize]));
    let body = Body::stream(move || stream::iter((0..mib).map(chunk)).boxed());
    let (before, since) = (peak_mib(), Instant::now());
    let stored = folder.put_new("huge", body.with_len_max(said)).await.unwrap();
    let (peak, took) = (peak_mib(), since.elapsed());
    let Seen { mut parts, completed } = std::mem::take(&mut *seen.lock().unwrap());
    parts.sort_unstable();
    let count = parts.len() as u64;
    let (&(_, len), &(_, last)) = (parts.first().unwrap(), parts.last().unwrap());
    println!("{mib} MiB in {count} parts of {} MiB: {took:.1?}, from {before} to {peak} MiB of memory", len / MIB);
    assert!(stored == mib * MIB && completed == Some(parts.len()));
    assert_eq!(parts.iter().map(|(_, len)| len).sum::<u64>(), stored);
    assert!(parts.iter().map(|(number, _)| *number).eq(1..=count), "{parts:?}");
    // Some stores take no parts but equal ones.
    assert!(parts.iter().rev().skip(1).all(|(_, other)| *other == len) && last <= len, "{parts:?}");
    assert!(PART_BYTES.contains(&len) && said.div_ceil(len) <= PARTS_MAX - PARTS_MAX / 10, "parts of {len}");
    // One is on its way, one is being read; the allocator keeps some that are done.
    assert!(peak <= before + 4 * len / MIB + 16, "{before} to {peak} MiB with parts of {len}");
}
