//! A store that begins its answers and never ends them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures::StreamExt;

use super::{large_body, options};
use crate::{Backend, ByteRange, Error, ErrorKind};

/// Requests that contain `frozen` in their first line get the head of an answer and nothing more; the receiver is told
/// of each.
fn store(frozen: &'static str) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, is_frozen) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || drop(answer(client, frozen, &told)));
        }
    });
    (address, is_frozen)
}

fn answer(mut client: TcpStream, frozen: &str, told: &Sender<()>) -> std::io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let head_len = loop {
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let len = client.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..len]);
    };
    let head = String::from_utf8_lossy(&request[..head_len]).to_ascii_lowercase();
    let body_len = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let missing = (head_len + body_len.unwrap_or(0)).saturating_sub(request.len());
    (&client).take(missing as u64).read_to_end(&mut Vec::new())?;
    let line = head.lines().next().unwrap_or_default();
    if line.contains(frozen) {
        // What goes on where an answer broke off gets none at all.
        if head.contains("\r\nrange:") {
            return client.read_to_end(&mut Vec::new()).map(drop);
        }
        write!(
            client,
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\netag: \"x\"\r\nlast-modified: \
            Sat, 21 Nov 2026 15:00:00 GMT\r\n\r\n"
        )?;
        let _ = told.send(());
        return client.read_to_end(&mut Vec::new()).map(drop);
    }
    let begun = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
    let (status, body) = match line {
        _ if line.contains("create-probe") => ("412 Precondition Failed", ""),
        _ if line.starts_with("head") => ("404 Not Found", ""),
        _ if line.contains("?uploads") => ("200 OK", begun),
        _ => ("200 OK", ""),
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"x\"\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[derive(Debug, Clone, Copy)]
enum Doing {
    Get,
    List,
    ListFolders,
    ListUnfinished,
    PutLarge,
    Delete,
}

async fn attempt(doing: Doing, address: SocketAddr) -> Result<(), Error> {
    let folder = options(&format!("http://{address}")).open().folder("app");
    match doing {
        Doing::Get => folder.get("x", ByteRange::All).await?.next().await.unwrap().map(drop),
        Doing::List => folder.list("", None).await?.next().await.unwrap().map(drop),
        Doing::ListFolders => folder.list_folders("").await.map(drop),
        Doing::ListUnfinished => folder.unfinished("").await.map(drop),
        Doing::PutLarge => folder.put_new("x", large_body(6)).await.map(drop),
        Doing::Delete => folder.delete(&["x".to_owned()]).await.remove(0),
    }
}

/// From the head of the answer on the clock runs as fast as it can.
#[tokio::test]
async fn an_answer_that_stops_after_its_head_is_given_up() {
    let cases = [
        (Doing::Get, "get /bucket/app/x"),
        (Doing::List, "list-type=2"),
        (Doing::ListFolders, "delimiter="),
        (Doing::ListUnfinished, "uploads"),
        (Doing::PutLarge, "?uploads"),
        (Doing::PutLarge, "post /bucket/app/x?uploadid=1"),
        (Doing::Delete, "?delete"),
    ];
    for (doing, frozen) in cases {
        let (address, is_frozen) = store(frozen);
        let attempt = tokio::spawn(attempt(doing, address));
        tokio::task::spawn_blocking(move || is_frozen.recv_timeout(Duration::from_secs(20)).map(|()| is_frozen))
            .await
            .unwrap()
            .unwrap_or_else(|_| panic!("{doing:?}: {frozen} was not asked"));
        tokio::time::pause();
        let ended = tokio::time::timeout(Duration::from_secs(3600), attempt).await;
        tokio::time::resume();
        let error = ended.unwrap_or_else(|_| panic!("{doing:?} hangs at {frozen}")).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{doing:?}: {error}");
        assert_eq!(error.reason(), crate::Reason::Unreachable, "{doing:?}: {error}");
    }
}
