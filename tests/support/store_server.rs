//! Real servers of stores for tests, which end with them. This file is compiled into the tests of two crates.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[path = "../support/sftp_server.rs"]
mod sftp_server;

pub use sftp_server::{SftpHost, all_files, password_host};

/// A server, in memory, with a bucket or container named `bucket`.
pub struct StoreServer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl StoreServer {
    /// moto's S3 server. It checks no signature; conditional puts are atomic.
    pub fn s3() -> Self {
        let python = installed("MOTO_PYTHON", "moto/bin/python");
        let server = Self::start(Command::new(python).arg(script("s3_server.py")));
        assert!(server.request("PUT", "/bucket").starts_with("HTTP/1.1 200"));
        server
    }

    /// Azurite, with the account that all emulators have.
    pub fn azure() -> Self {
        let azurite = installed("AZURITE", "azurite/node_modules/.bin/azurite-blob");
        Self::start(Command::new("python3").arg(script("azure_server.py")).arg(azurite))
    }

    /// A fake of Google's: no emulator that can be had speaks its XML API.
    pub fn gcs() -> Self {
        Self::start(Command::new("python3").arg(script("gcs_server.py")))
    }

    /// wsgidav, which serves `folder` below `/dav`; with more `arguments` of `webdav_server.py`.
    pub fn webdav(folder: &Path, port: u16, arguments: &[&str]) -> Self {
        let mut command = Command::new(installed("HOSTS_PYTHON", "hosts/bin/python"));
        command.arg(script("webdav_server.py")).arg(folder).arg(port.to_string());
        Self::start(command.args(arguments))
    }

    /// Waits until `command` has said where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").unwrap_or_else(|| panic!("{command:?} did not start"));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())) }
    }

    /// The answer of an S3 server to a request without a body, headers included.
    pub fn request(&self, method: &str, path: &str) -> String {
        self.request_with(method, path, "")
    }

    /// The same, with more lines of headers.
    pub fn request_with(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=AK/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\
             content-length: 0\r\n{headers}connection: close\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl StoreServer {
    /// SIGTERM, on which some end more than themselves.
    pub fn terminate(mut self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
        let _ = self.child.wait();
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The key of Azurite's account, which every emulator has.
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

pub(crate) fn script(name: &str) -> PathBuf {
    root().join("tests/support").join(name)
}

/// Of the project.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    if own.join("tests/support").is_dir() { own } else { own.parent().unwrap() }
}

/// A program that the environment names, or that is where `tests/setup` puts it.
pub(crate) fn installed(variable: &str, path: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let path = std::env::var_os(variable).map_or_else(|| target.join("tools").join(path), PathBuf::from);
    assert!(path.exists(), "nothing at {}: run tests/setup, or set {variable}", path.display());
    path
}
