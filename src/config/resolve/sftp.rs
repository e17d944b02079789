//! Hosts that are reached by SFTP: what keys and URL say, and which of them wins.

use std::path::{Path, PathBuf};

use replica_backends::sftp::host_and_port;

use super::target::stated_secret;
use super::{Resolver, stated};
use crate::config::ConfigError;
use crate::config::raw::RawReplica;
use crate::config::target::SftpTarget;

/// Where OpenSSH keeps the keys of hosts, for a user and for all.
const KNOWN_HOSTS: [&str; 2] = ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"];

impl Resolver<'_> {
    pub(super) fn complete_sftp(
        &self,
        target: SftpTarget,
        raw: &RawReplica,
        place: &str,
    ) -> Result<SftpTarget, ConfigError> {
        let user = stated(raw.user.as_ref()).map_or(target.user, str::to_owned);
        if target.host.is_empty() {
            return Err(self.missing(place, "host required for sftp replica"));
        }
        if user.is_empty() {
            return Err(self.missing(place, "user required for sftp replica"));
        }
        if host_and_port(&target.host).is_none() {
            let message = format!("the port of the host {:?} is not a number such as 22", target.host);
            return Err(self.invalid(place, message));
        }
        Ok(SftpTarget {
            user,
            password: stated_secret(raw.password.as_ref()).or(target.password),
            key_path: stated(raw.key_path.as_ref()).map(|path| self.environment.absolute(Path::new(path))),
            host_key: stated(raw.host_key.as_ref()).map(str::to_owned),
            known_hosts: self.known_hosts(),
            ..target
        })
    }

    fn known_hosts(&self) -> Vec<PathBuf> {
        let is_known = |path: &&str| self.environment.home.is_some() || !path.starts_with('~');
        KNOWN_HOSTS.into_iter().filter(is_known).map(|path| self.environment.absolute(Path::new(path))).collect()
    }
}
