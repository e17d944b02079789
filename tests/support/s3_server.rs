//! A real S3 server for tests, which ends with them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// moto's server, in memory. It checks no signature; conditional puts are atomic.
pub struct S3Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl S3Server {
    /// Starts one, with a bucket named `bucket`.
    pub fn start() -> Self {
        let mut child = Command::new(python())
            .arg(root().join("tests/support/s3_server.py"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").unwrap_or_else(|| panic!("the S3 server did not start"));
        let server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())) };
        assert!(server.request("PUT", "/bucket").starts_with("HTTP/1.1 200"));
        server
    }

    /// The answer to a request without a body, headers included.
    pub fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/\
             aws4_request, SignedHeaders=host, Signature=0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of the project; this file is compiled into the tests of two crates.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    if own.join("tests/support").is_dir() { own } else { own.parent().unwrap() }
}

/// The Python that has moto; `MOTO_PYTHON` names it, otherwise it is where `tests/setup` puts it.
fn python() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let installed = target.join("tools/moto/bin/python");
    let path = std::env::var_os("MOTO_PYTHON").map_or(installed, PathBuf::from);
    assert!(path.is_file(), "no Python with moto at {}: run tests/setup, or set MOTO_PYTHON", path.display());
    path
}
