//! Creating an object: the latency-critical path, from bytes in memory to bytes that survive a power cut.

use std::fs;
use std::io;

use fault_points::fault_point;
use rustix::io::Errno;

use super::failure::{During, Failure};
use super::store::{Store, Target};
use super::temp::TempFile;

/// How often a folder that vanishes under a put is made again before the put gives up.
const FOLDER_ATTEMPTS_MAX: u32 = 16;

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    temp: TempFile,
    size: u64,
    /// Of the folders, when the folder of this draft was known to be durable.
    epoch: u64,
}

impl Draft {
    /// Writes `bytes`, which are all of it.
    fn write_whole(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let front = self.temp.write_past_cache(bytes).during("writing the object")?;
        self.size += front as u64;
        self.write(&bytes[front..])
    }

    /// Appends `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.temp.write(bytes).during("writing the object")?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

impl Store {
    /// Creates an object from bytes in memory, all in one go. In a folder that is known, and without an owner to
    /// set, it costs nine system calls: stat, open, write, fsync, rename, close; and open, fsync, close of the
    /// folder.
    pub(super) fn put_whole(&self, target: &Target, bytes: &[u8]) -> Result<u64, Failure> {
        let mut draft = self.begin(target)?;
        fault_point!("file-created");
        draft.write_whole(bytes)?;
        self.finish(draft, target)
    }

    /// Opens a draft of `target`, unless the object exists and may not be replaced: then nothing is written at all.
    pub(super) fn begin(&self, target: &Target) -> Result<Draft, Failure> {
        match fs::symlink_metadata(&target.path) {
            Ok(meta) if target.replace && meta.is_file() => {}
            Ok(_) => return Err(self.taken(target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new("looking for the object", error)),
        }
        for _ in 0..FOLDER_ATTEMPTS_MAX {
            let epoch = self.folders.epoch();
            let opened = self.folders.ensure(&target.folder).and_then(|()| {
                TempFile::create(&target.folder, &target.name, &self.ownership).during("creating a file")
            });
            match opened {
                Ok(temp) => return Ok(Draft { temp, size: 0, epoch }),
                // Somebody deleted the folder, or one above it, behind our back.
                Err(failure) if failure.is_not_found() => self.folders.forget(),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::new("creating a file", io::Error::other("its folder vanishes again and again")))
    }

    /// Makes `draft` durable, publishes it and makes that durable too. Returns its size in bytes.
    pub(super) fn finish(&self, draft: Draft, target: &Target) -> Result<u64, Failure> {
        let Draft { temp, size, epoch } = draft;
        fault_point!("file-written");
        // Final if it fails: the kernel may have dropped the bytes, and a second sync would not say so.
        (self.sync)(temp.file()).during("syncing the object")?;
        fault_point!("file-synced");
        let published = match target.replace {
            true => self.publisher.publish_over(temp, &target.path),
            false => self.publisher.publish(temp, &target.path),
        };
        match published {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(self.taken(target)),
            Err(error) => return Err(Failure::new("publishing the object", error)),
        }
        fault_point!("file-named");
        self.settle(target, epoch).inspect_err(|_| {
            // The entry may be lost at a power cut. Were it left, a retry would find it and believe it. What replaced
            // another object stays: after a power cut it is either of the two.
            if !target.replace {
                let _ = fs::remove_file(&target.path);
            }
        })?;
        Ok(size)
    }

    /// Makes the entry of `target` durable, and its folder if it was removed and made again since `epoch`.
    fn settle(&self, target: &Target, epoch: u64) -> Result<(), Failure> {
        self.folders.sync_folder(&target.folder).during("syncing the folder")?;
        if self.folders.epoch() != epoch {
            self.folders.ensure(&target.folder)?;
        }
        Ok(())
    }

    /// The failure of a put whose name is taken. What is there is made durable first, since the caller may be
    /// content with it: whoever published it may have died before its sync.
    fn taken(&self, target: &Target) -> Failure {
        match fs::symlink_metadata(&target.path) {
            Ok(meta) if !meta.is_file() => {
                let problem = "something that is not a regular file has this name";
                return Failure::new("looking for the object", io::Error::other(problem));
            }
            Ok(_) => {}
            Err(error) => return Failure::new("looking for the object", error),
        }
        let settled = self.folders.ensure(&target.folder).and_then(|()| self.settle(target, self.folders.epoch()));
        settled.err().unwrap_or_else(|| Failure::new("creating the object", Errno::EXIST))
    }
}
