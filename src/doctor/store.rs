//! A store is tried with objects of its own, in a folder that nobody else uses, which are deleted at the end.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use replica_backends::{Backend, Body, ByteRange, Error, ErrorKind, Unfinished, read};

use super::{Grade, Report};
use crate::types::Timestamp;

const CONTENT: &[u8] = b"lightship doctor was here; it deletes what it puts.\n";
const OTHER: &[u8] = b"This must not take the place of what is there.\n";
/// More than one part of an upload in parts.
const LARGE_BYTES: usize = 12 << 20;
/// Where everything of a replica is.
const FOLDERS: [&str; 2] = ["generations/", "lightship/"];
/// How many unfinished uploads are named.
const UNFINISHED_SHOWN: usize = 20;
const CHUNK_BYTES: usize = 1 << 20;
/// Differences between clocks that are worth a word, and that stores refuse (S3: 15 minutes).
const CLOCK_NOTE: Duration = Duration::from_secs(60);
const CLOCK_WRONG: Duration = Duration::from_secs(600);

/// Tries everything that replication, retention and restores need of the store behind `backend`.
pub async fn examine_store(name: &str, backend: &dyn Backend) -> Report {
    let folder = format!("lightship/doctor-{:016x}/", fastrand::u64(..));
    let report = Report::new(format!("replica {name}: {}", backend.location()));
    let mut probe = Probe { backend, folder, report };
    if probe.lists().await {
        probe.has_no_unfinished().await;
        if probe.creates().await {
            probe.reads().await;
            probe.shows().await;
            probe.refuses_to_replace().await;
            probe.replaces().await;
            probe.takes_large().await;
        }
        // Also if nothing was confirmed: it may have been stored all the same.
        probe.deletes().await;
    }
    probe.report
}

struct Probe<'b> {
    backend: &'b dyn Backend,
    folder: String,
    report: Report,
}

impl Probe<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn fine(&mut self, what: &'static str, says: impl Into<String>) {
        self.report.add(what, Grade::Fine, says);
    }

    fn wrong(&mut self, what: &'static str, error: &Error, so: &str) {
        self.report.add(what, Grade::Wrong, format!("{error}; so {so}"));
    }

    /// False if nothing else need be tried.
    async fn lists(&mut self) -> bool {
        let since = Instant::now();
        match self.backend.list_folders("generations/").await {
            Ok(generations) => {
                let (count, took) = (generations.len(), since.elapsed());
                self.fine("list", format!("generations: {count}; answered in {took:.1?}"));
                true
            }
            Err(error) => {
                self.wrong("list", &error, "nothing can be continued, restored or kept in bounds");
                error.kind() == ErrorKind::PermissionDenied
            }
        }
    }

    /// Parts of uploads that were broken off: nobody sees them, and somebody pays for them.
    async fn has_no_unfinished(&mut self) {
        let mut uploads = Vec::new();
        for folder in FOLDERS {
            match self.backend.unfinished(folder).await {
                Ok(more) => uploads.extend(more),
                Err(error) => {
                    let says = format!("{error}; so it is not known what broken-off uploads have left");
                    return self.report.add("unfinished", Grade::Note, says);
                }
            }
        }
        if uploads.is_empty() {
            return self.fine("unfinished", "nothing is left of uploads that were broken off");
        }
        let begun = |upload: &Unfinished| Timestamp::from(upload.begun).to_seconds_text();
        let shown = uploads.iter().take(UNFINISHED_SHOWN);
        let shown: Vec<_> = shown.map(|upload| format!("{} (begun {})", upload.key, begun(upload))).collect();
        let says = format!(
            "{} uploads are under way or were broken off, and what they have stored is paid for though nobody sees it: \
             {}{}. Retention removes what is more than a day old, unless the replica is append-only; a rule of the \
             bucket's lifecycle does it always (AbortIncompleteMultipartUpload)",
            uploads.len(),
            shown.join(", "),
            if shown.len() < uploads.len() { ", and others" } else { "" }
        );
        self.report.add("unfinished", Grade::Note, says);
    }

    async fn creates(&mut self) -> bool {
        let since = Instant::now();
        match self.backend.put_new(&self.key("one"), Bytes::from_static(CONTENT).into()).await {
            Ok(_) => {
                self.fine("create", format!("an object of {} bytes took {:.1?}", CONTENT.len(), since.elapsed()));
                true
            }
            Err(error) => {
                self.wrong("create", &error, "nothing can be replicated");
                false
            }
        }
    }

    async fn reads(&mut self) {
        let key = self.key("one");
        let wanted = [
            (ByteRange::All, CONTENT),
            (ByteRange::Slice { start: 10, len: 6 }, &CONTENT[10..16]),
            (ByteRange::Suffix(7), &CONTENT[CONTENT.len() - 7..]),
        ];
        for (range, expected) in wanted {
            match read(self.backend, &key, range).await {
                Ok(bytes) if bytes == expected => {}
                Ok(_) => {
                    let says = format!("{range:?} of an object is not what was put there: nothing can be restored");
                    return self.report.add("read", Grade::Wrong, says);
                }
                Err(error) if error.kind() == ErrorKind::WriteOnly => {
                    let says = "encrypted for others: what is put there can only be restored where an identity is";
                    return self.report.add("read", Grade::Note, says);
                }
                Err(error) => return self.wrong("read", &error, "nothing can be continued or restored"),
            }
        }
        self.fine("read", "whole and in parts");
    }

    /// Whether a listing has what was just put, and what time it says.
    async fn shows(&mut self) {
        let found = match self.backend.list(&self.folder, None).await {
            Ok(list) => list.try_collect::<Vec<_>>().await,
            Err(error) => Err(error),
        };
        match found.map(|found| found.into_iter().find(|object| object.key == self.key("one"))) {
            Err(error) => self.wrong("listing", &error, "the newest state cannot be found"),
            Ok(None) => {
                let says = "an object that was stored is not listed: restores may miss the newest commits";
                self.report.add("listing", Grade::Wrong, says);
            }
            Ok(Some(object)) => {
                self.fine("listing", "shows at once what was stored");
                self.compare_clocks(object.modified);
            }
        }
    }

    fn compare_clocks(&mut self, theirs: SystemTime) {
        let ours = SystemTime::now();
        let apart = ours.duration_since(theirs).unwrap_or_else(|error| error.duration());
        let grade = match apart {
            apart if apart >= CLOCK_WRONG => Grade::Wrong,
            apart if apart >= CLOCK_NOTE => Grade::Note,
            _ => Grade::Fine,
        };
        let says = match grade {
            Grade::Fine => "as here".to_owned(),
            _ => format!(
                "{} s {} that of this machine: set the clock of this machine; stores refuse requests of more than 15 \
                 minutes' difference, and restores to a time use this machine's",
                apart.as_secs(),
                if theirs > ours { "ahead of" } else { "behind" }
            ),
        };
        self.report.add("clock", grade, says);
    }

    async fn refuses_to_replace(&mut self) {
        match self.backend.put_new(&self.key("one"), Bytes::from_static(OTHER).into()).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return self.wrong("no replace", &error, "it is not known whether it would replace objects"),
            Ok(_) => {
                let says = "an object was replaced that was to be created: two replicators could destroy a history";
                return self.report.add("no replace", Grade::Wrong, says);
            }
        }
        match self.backend.creates_atomically().await {
            Ok(true) => self.fine("no replace", "the store itself refuses to replace an object"),
            Ok(false) => self.report.add(
                "no replace",
                Grade::Note,
                "the store replaces objects even if told not to (no conditional put), so it is looked before each put. \
                 One replicator is as safe as elsewhere; two that write to the same path at the same moment can \
                 replace each other's objects: give each a path of its own",
            ),
            Err(error) => self.wrong("no replace", &error, "it is not known whether it would replace objects"),
        }
    }

    async fn replaces(&mut self) {
        match self.backend.put_over(&self.key("one"), Bytes::from_static(OTHER).into()).await {
            Ok(_) => self.fine("replace", "as merging does"),
            Err(error) => self.report.add(
                "replace",
                Grade::Note,
                format!("{error}; so small segments stay apart, and restores have more to fetch"),
            ),
        }
    }

    async fn takes_large(&mut self) {
        let since = Instant::now();
        let chunk = Bytes::from(vec![7; CHUNK_BYTES]);
        let chunks = std::iter::repeat_n(chunk, LARGE_BYTES / CHUNK_BYTES);
        let body = Body::stream(move || stream::iter(chunks.clone().map(Ok)).boxed()).with_len_max(LARGE_BYTES as u64);
        match self.backend.put_new(&self.key("large"), body).await {
            Ok(_) => {
                let says = format!("an upload of {} MiB took {:.1?}", LARGE_BYTES >> 20, since.elapsed());
                self.fine("large", says);
            }
            Err(error) => self.wrong("large", &error, "no snapshot of a database of some megabytes can be taken"),
        }
    }

    async fn deletes(&mut self) {
        let keys = [self.key("one"), self.key("large")];
        let failed = self.backend.delete(&keys).await.into_iter().find_map(Result::err);
        if let Some(error) = failed {
            let says = format!(
                "{error}; so retention cannot delete, and merging leaves what it has merged. Allow it, or set \
                 append-only; what was put here stays below {}",
                self.folder
            );
            return self.report.add("delete", Grade::Wrong, says);
        }
        match self.backend.head(&keys[0]).await {
            Err(error) if error.kind() == ErrorKind::NotFound => self.fine("delete", "nothing of this trial is left"),
            Err(error) => self.wrong("delete", &error, "it is not known whether it was deleted"),
            Ok(_) => {
                let says = "an object is still there after it was deleted: retention does not free any space";
                self.report.add("delete", Grade::Wrong, says);
            }
        }
    }
}
