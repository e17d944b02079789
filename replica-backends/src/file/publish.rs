//! Giving a finished file its name: without replacing another, unless that is asked for.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::temp::TempFile;

/// Publishes temporary files, and remembers whether this file system can rename without replacing.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    must_link: AtomicBool,
}

impl Publisher {
    /// Makes `temp` visible as `target`, or fails with `AlreadyExists` and changes nothing.
    pub(super) fn publish(&self, temp: TempFile, target: &Path) -> io::Result<()> {
        self.publish_by(temp, target, |from, to| renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE))
    }

    /// Makes `temp` visible as `target`, in the place of what had this name.
    pub(super) fn publish_over(&self, temp: TempFile, target: &Path) -> io::Result<()> {
        fs::rename(temp.path(), target)?;
        temp.disarm();
        Ok(())
    }

    /// [`Self::publish`] with the rename passed in.
    ///
    /// NFS and some FUSE file systems know no such rename. There, a hard link takes its place: it too fails when
    /// the name is taken, and the temporary name is deleted afterwards.
    pub(super) fn publish_by(
        &self,
        temp: TempFile,
        target: &Path,
        rename: impl FnOnce(&Path, &Path) -> Result<(), Errno>,
    ) -> io::Result<()> {
        if !self.must_link.load(Ordering::Relaxed) {
            match rename(temp.path(), target) {
                Ok(()) => {
                    temp.disarm();
                    return Ok(());
                }
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.must_link.store(true, Ordering::Relaxed),
                Err(errno) => return Err(errno.into()),
            }
        }
        fs::hard_link(temp.path(), target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Ownership;

    fn draft(folder: &Path, bytes: &[u8]) -> TempFile {
        let mut temp = TempFile::create(folder, "x", &Ownership::default()).unwrap();
        temp.write(bytes).unwrap();
        temp
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_system_without_the_rename_is_served_by_a_link() {
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("x");
            let publisher = Publisher::default();
            publisher.publish_by(draft(folder.path(), b"first"), &target, |_, _| Err(errno)).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"first");
            assert_eq!(names(folder.path()), ["x"], "the temporary name is gone");

            let no_rename = |_: &Path, _: &Path| -> Result<(), Errno> { panic!("asked again after {errno:?}") };
            let error = publisher.publish_by(draft(folder.path(), b"second"), &target, no_rename).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&target).unwrap(), b"first");
            assert_eq!(names(folder.path()), ["x"]);
        }
    }

    #[test]
    fn another_failure_of_the_rename_is_no_reason_to_link() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        let publisher = Publisher::default();
        let error = publisher.publish_by(draft(folder.path(), b"x"), &target, |_, _| Err(Errno::IO)).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        let publisher = Publisher::default();
        publisher.publish(draft(folder.path(), b"first"), &target).unwrap();
        let error = publisher.publish(draft(folder.path(), b"second"), &target).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["x"]);
    }
}
