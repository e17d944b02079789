//! Who may read a replica.

/// Modes and owners of the files and folders that a [`super::FileBackend`] makes.
///
/// Litestream 0.3 copies them from the database and its folder, so that whoever may read the database may read its
/// replica. What exists already is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Permission bits of files, before the umask. Default 0600.
    pub file_mode: u32,
    /// Permission bits of folders, before the umask. Default 0700.
    pub dir_mode: u32,
    /// User and group of files; tried, and not minded if refused. Default: those of the process.
    pub file_owner: Option<(u32, u32)>,
    /// User and group of folders; tried, and not minded if refused. Default: those of the process.
    pub dir_owner: Option<(u32, u32)>,
}

impl Default for Ownership {
    /// For the owner alone, as Litestream 0.3 when it does not know the database.
    fn default() -> Self {
        Self { file_mode: 0o600, dir_mode: 0o700, file_owner: None, dir_owner: None }
    }
}
