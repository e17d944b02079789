//! Giving a file its name without replacing another, and with replacing.

use std::sync::Arc;

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{OpenFlags, StatusCode};

use super::failure::{is_missing, status};
use super::open_file::OpenFile;
use super::put::{Temporary, make_folder};
use super::session::Session;
use super::{SftpBackend, folder_of};
use crate::temporary::temporary_beside;
use crate::{Backend, Error, ErrorKind, Operation, Result};

/// How a file gets its name without replacing another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// As a second name, which is refused if it is taken; then it loses the first.
    Link,
    /// By a rename, which was seen to refuse a name that is taken.
    Rename,
    /// By a rename, after looking whether the name is taken. Of two writers who look at the same time both may rename,
    /// and the later replaces the earlier.
    LookFirst,
}

impl SftpBackend {
    /// Publishes what was written to `file`, whole, at `path`.
    pub(super) async fn publish(&self, file: Temporary, path: &str, key: &str, only_new: bool) -> Result<()> {
        let published = match only_new {
            true => self.name_new(file, path).await,
            false => name_over(file, path).await,
        };
        match published {
            Ok(()) => Ok(()),
            Err(NamingError::Taken) => Err(self.exists(key)),
            Err(NamingError::Sftp(session, error)) => {
                Err(self.write_failed(&session, key, folder_of(path), "naming the object", &error).await)
            }
        }
    }

    pub(super) fn exists(&self, key: &str) -> Error {
        Error::new(ErrorKind::AlreadyExists, Operation::Put, key, self.location(), "the object exists already")
    }

    async fn name_new(&self, file: Temporary, path: &str) -> Result<(), NamingError> {
        let session = Arc::clone(file.session());
        let failed = |error| NamingError::Sftp(Arc::clone(&session), error);
        let creation = self.host.creation.get_or_try_init(|| self.find_out(&session, path)).await.map_err(failed)?;
        if *creation == Creation::Link {
            match session.sftp.hardlink(file.path(), path).await {
                Ok(_) => return file.remove().await.map_err(failed),
                Err(error) if status(&error).is_none() => return Err(failed(error)),
                Err(error) => match session.sftp.lstat(path).await {
                    Ok(_) => return Err(NamingError::Taken),
                    // The file system may know no second names: then a rename is what is left.
                    Err(missing) if is_missing(&missing) && is_refusal(&error) => {}
                    Err(_) => return Err(failed(error)),
                },
            }
        } else if *creation == Creation::LookFirst && session.sftp.lstat(path).await.is_ok() {
            return Err(NamingError::Taken);
        }
        match session.sftp.rename(file.path(), path).await {
            Ok(_) => {
                file.disarm();
                Ok(())
            }
            Err(error) if status(&error).is_some() && session.sftp.lstat(path).await.is_ok() => Err(NamingError::Taken),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) async fn creation_is_atomic(&self) -> Result<bool> {
        let session = self.session(Operation::Put, "").await?;
        let probe = self.within("create-probe");
        let found = async {
            make_folder(&session, folder_of(&probe)).await?;
            self.host.creation.get_or_try_init(|| self.find_out(&session, &probe)).await
        };
        let failed = |error| self.failed(&session, Operation::Put, "", "trying to replace a file", &error);
        Ok(*found.await.map_err(failed)? != Creation::LookFirst)
    }

    /// Finds out once for a host, with two files beside `path` that go away.
    async fn find_out(&self, session: &Arc<Session>, path: &str) -> Result<Creation, SftpError> {
        if session.links {
            return Ok(Creation::Link);
        }
        let mut files = Vec::new();
        for _ in 0..2 {
            let path = temporary_beside(path);
            let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
            OpenFile::open(Arc::clone(session), path.clone(), flags).await?.close().await?;
            files.push(path);
        }
        let renamed = session.sftp.rename(&files[0], &files[1]).await;
        for path in &files {
            drop(session.sftp.remove(path).await);
        }
        match renamed {
            Err(error) if status(&error).is_some() => Ok(Creation::Rename),
            Err(error) => Err(error),
            Ok(_) => {
                tracing::warn!(location = %self.location(),
                    "this host replaces files even if it should not: it is looked before each put, which two writers \
                     who write to the same replica at the same moment can both pass; give each its own path");
                Ok(Creation::LookFirst)
            }
        }
    }
}

/// Why a file did not get its name.
enum NamingError {
    Taken,
    Sftp(Arc<Session>, SftpError),
}

fn is_refusal(error: &SftpError) -> bool {
    matches!(status(error), Some(StatusCode::Failure | StatusCode::OpUnsupported | StatusCode::PermissionDenied))
}

/// Puts `file` in the place of what is at `path`. Without `posix-rename@openssh.com` the old one steps aside first, so
/// that for a moment there is none.
async fn name_over(file: Temporary, path: &str) -> Result<(), NamingError> {
    let session = Arc::clone(file.session());
    let failed = |error| NamingError::Sftp(Arc::clone(&session), error);
    if session.replaces {
        session.rename_over(file.path(), path).await.map_err(failed)?;
        file.disarm();
        return Ok(());
    }
    let aside = temporary_beside(path);
    let stepped = match session.sftp.rename(path, &aside).await {
        Ok(_) => true,
        Err(error) if is_missing(&error) => false,
        Err(error) => return Err(failed(error)),
    };
    if let Err(error) = session.sftp.rename(file.path(), path).await {
        if stepped {
            drop(session.sftp.rename(&aside, path).await);
        }
        return Err(failed(error));
    }
    file.disarm();
    if stepped {
        drop(session.sftp.remove(aside).await);
    }
    Ok(())
}
