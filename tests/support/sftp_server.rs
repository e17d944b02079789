//! A host that is reached by SFTP, for tests: OpenSSH's own server. This file is compiled into the tests of two crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{StoreServer, installed, script};

/// A host with its keys, and those of whoever may log in.
pub struct SftpHost {
    folder: TempDir,
    /// `None` while it is down.
    server: Option<StoreServer>,
    port: u16,
}

impl SftpHost {
    /// A host where everything works.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same, with more arguments of `sftp_server.py`.
    pub fn with(arguments: &[&str]) -> Self {
        let mut host = Self { folder: tempfile::tempdir().unwrap(), server: None, port: 0 };
        host.start(arguments);
        host
    }

    /// Starts it (again), on the same port and with the same folder.
    pub fn start(&mut self, arguments: &[&str]) {
        let mut command = Command::new("python3");
        command.arg(script("sftp_server.py")).arg(self.folder.path()).args(["--port", &self.port.to_string()]);
        let server = StoreServer::start(command.args(arguments));
        self.port = server.address.port();
        self.server = Some(server);
    }

    /// Ends it, with all connections.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.terminate();
        }
    }

    /// Name and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A file beside the root, such as `key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the objects are.
    pub fn root(&self) -> PathBuf {
        self.file("root")
    }

    /// The public half of a key: its kind and its bytes in Base64.
    pub fn public_key(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.file(&format!("{name}.pub"))).unwrap();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    /// Who may log in: who runs the tests.
    pub fn user(&self) -> String {
        let id = Command::new("id").arg("-un").output().unwrap();
        String::from_utf8(id.stdout).unwrap().trim().to_owned()
    }
}

/// A host that takes passwords, or asks for them; its root is `folder`.
pub fn password_host(folder: &Path, arguments: &[&str]) -> StoreServer {
    let python = installed("HOSTS_PYTHON", "hosts/bin/python");
    StoreServer::start(Command::new(python).arg(script("password_sftp_server.py")).arg(folder).args(arguments))
}

/// All files below `folder`, those that are no objects too, relative to it.
pub fn all_files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    files.sort_unstable();
    files
}
