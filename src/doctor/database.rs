//! A database and what is around it, seen as the replicator will see it. Nothing is changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, statfs};

use super::{Grade, Report};
use crate::sqlite::{Connection, DatabaseHeader};
use crate::types::sidecar;

/// Before this version a checkpoint and a WAL that restarts could lose commits (sqlite.org/changes.html).
const WAL_RESET_FIXED: u32 = 3_051_003;
/// A WAL above this is held up by somebody.
const WAL_NOTE_BYTES: u64 = 256 << 20;

/// File systems on which SQLite's WAL does not work between machines, or whose events are incomplete (statfs(2)).
const FILE_SYSTEMS: [(i64, Grade, &str); 9] = [
    (
        0x6969,
        Grade::Wrong,
        "NFS: SQLite's WAL needs memory shared between its users; keep the database on a local disk",
    ),
    (0xFF53_4D42, Grade::Wrong, "SMB: SQLite's WAL needs memory shared between its users; use a local disk"),
    (0xFE53_4D42, Grade::Wrong, "SMB: SQLite's WAL needs memory shared between its users; use a local disk"),
    (0x517B, Grade::Wrong, "SMB: SQLite's WAL needs memory shared between its users; use a local disk"),
    (0x0102_1997, Grade::Wrong, "9P: SQLite's WAL needs memory shared between its users; use a local disk"),
    (0x786F_4256, Grade::Wrong, "a folder shared by VirtualBox: locks and shared memory do not work; use a local disk"),
    (0x6573_5546, Grade::Note, "FUSE: whether locks, shared memory and file events work depends on what is behind it"),
    (0x794C_7630, Grade::Note, "overlay: the database is lost with the container; put it on a volume"),
    (0x0102_1994, Grade::Note, "tmpfs: the database is lost when the machine stops"),
];

/// Looks at the database at `path`, which no connection of this process may have open.
#[must_use]
pub fn examine_database(path: &Path) -> Report {
    let mut report = Report::new(format!("database {}", path.display()));
    let Ok(path) = fs::canonicalize(path) else {
        report.add("file", Grade::Note, "it does not exist yet: replicate waits for it");
        return report;
    };
    if path.is_dir() {
        report.add("file", Grade::Wrong, "it is a folder: name the database file");
        return report;
    }
    users(&path, &mut report);
    header(&path, &mut report);
    permissions(&path, &mut report);
    file_system(&path, &mut report);
    if let Ok(wal) = fs::metadata(sidecar(&path, "-wal"))
        && wal.len() > WAL_NOTE_BYTES
    {
        let says =
            format!("{} MiB: a transaction that reads, or is not ended, keeps it from restarting", wal.len() >> 20);
        report.add("wal", Grade::Note, says);
    }
    report
}

fn users(path: &Path, report: &mut Report) {
    match Connection::open(path).map_err(io::Error::other).and_then(|line| line.has_other_users()) {
        Ok(true) => report.add("locks", Grade::Fine, "they work; another process has it open"),
        Ok(false) => report.add("locks", Grade::Fine, "they work; no other process has it open in WAL mode"),
        Err(error) => {
            let says = format!("{error}: SQLite cannot keep its users apart here; use a local disk");
            report.add("locks", Grade::Wrong, says);
        }
    }
}

fn header(path: &Path, report: &mut Report) {
    let read = Connection::open(path).and_then(|line| Ok((line.header()?, line.written_by()?)));
    match read {
        Err(error) => report.add("file", Grade::Wrong, error.to_string()),
        Ok((DatabaseHeader::Empty, _)) => {
            report.add(
                "file",
                Grade::Note,
                "it is empty: replicate waits for the application to make a database of it",
            );
        }
        Ok((DatabaseHeader::Database { page_size, wal }, version)) => {
            report.add("file", Grade::Fine, format!("a database with pages of {} bytes", page_size.get()));
            if wal {
                report.add("mode", Grade::Fine, "WAL");
            } else {
                let says = "not in WAL mode: run PRAGMA journal_mode=WAL once, or let convert-to-wal (on by default) \
                            do it when nobody has it open";
                report.add("mode", Grade::Note, says);
            }
            software(version, report);
        }
    }
}

fn software(version: u32, report: &mut Report) {
    let text = format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000);
    match version {
        0 => {}
        WAL_RESET_FIXED.. => report.add("application", Grade::Fine, format!("last written by SQLite {text}")),
        _ => report.add(
            "application",
            Grade::Note,
            format!(
                "last written by SQLite {text}; before 3.51.3 several connections that checkpoint at the same moment \
                 can, very rarely, lose commits: update it. Worth setting: busy_timeout of some seconds, \
                 synchronous=NORMAL, and wal_autocheckpoint left as it is"
            ),
        ),
    }
}

fn permissions(path: &Path, report: &mut Report) {
    let may = |path: &Path, access: Access| accessat(CWD, path, access, AtFlags::EACCESS);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut refused = Vec::new();
    if may(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        refused.push(format!("write to the folder {}", folder.display()));
    }
    for file in [path.to_owned(), sidecar(path, "-wal"), sidecar(path, "-shm")] {
        if file.exists() && may(&file, Access::READ_OK | Access::WRITE_OK).is_err() {
            refused.push(format!("read and write {}", file.display()));
        }
    }
    let user = rustix::process::geteuid().as_raw();
    let owner = fs::metadata(path).map_or(user, |file| file.uid());
    if !refused.is_empty() {
        let says =
            format!("user {user} may not {}: run as user {owner}, who owns the database", refused.join(", nor "));
        report.add("permissions", Grade::Wrong, says);
    } else if owner != user && user != 0 {
        let says = format!(
            "this is user {user}, and the database is user {owner}'s: if we open it first, its -wal and -shm are ours, \
             and the application may not write them; run as user {owner}"
        );
        report.add("permissions", Grade::Note, says);
    } else {
        report.add("permissions", Grade::Fine, "the folder, the database and its companions may be written");
    }
}

fn file_system(path: &Path, report: &mut Report) {
    match statfs(path) {
        Err(error) => report.add("file system", Grade::Note, format!("its kind cannot be found out: {error}")),
        Ok(found) => {
            // The kind is 32 bits, whatever the type that holds it.
            let kind = found.f_type as u32;
            match FILE_SYSTEMS.iter().find(|(known, ..)| *known == i64::from(kind)) {
                Some((_, grade, says)) => report.add("file system", *grade, *says),
                None => report.add("file system", Grade::Fine, "local"),
            }
        }
    }
}
