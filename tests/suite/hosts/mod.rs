//! Replicas on other hosts: real servers, and real programs that write and read the same folders.

mod sftp;
mod webdav;
