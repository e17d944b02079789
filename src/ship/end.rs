//! The ends of indexes: what keeps two writers from interleaving in one generation.
//!
//! Invariant: from every position there is one name under which a generation can go on. Behind offset o of index i that
//! is (i, o). A segment takes it, or the *end* of the index does, an object without data; and (i+1, 0) is taken only
//! when the end is there. Objects are created only if they do not exist, so of two writers at one position one goes on
//! and the other learns of it, whatever either has read before. Names in the middle of an index become free again when
//! their writer merges; see `take_over` for those who come behind it. All become free when retention has deleted them;
//! see `silence` for those who were stopped for so long.
//!
//! A scheduled snapshot takes no name that a history needs: it repeats the state at the end of an index, and is put
//! behind that end. A snapshot that leaves a gap does not, so before it (i, o) is taken by an end that says why: behind
//! such an end nobody goes on but its writer.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fault_points::fault_point;
use replica_backends::{Backend, ErrorKind};

use super::Author;
use super::bridge::{Unbridged, bridge};
use super::claim::read_own_seal;
use super::resume::{Foreign, LastObject, last_object, last_object_within, newest_time};
use super::shipper::{Failure, Shipper};
use crate::follow::{Mark, SnapshotTicket};
use crate::history::ObjectName;
use crate::segment::{Encoder, Seal, SealKind, StateDigest};
use crate::types::{Generation, Index, Offset, PageSize};
use crate::wal::{ByteOrder, Salts};

/// What a store has where a snapshot is to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Free,
    /// Free, and nothing else is there of the generation.
    Empty,
    /// The snapshot itself.
    Taken,
    /// Another generation ends later than this one would.
    Early,
}

/// Longer than a store that gives whole seconds takes to give a later time, and than one that gives finer ones.
const WHOLE_SECOND: Duration = Duration::from_millis(1100);
const TICK: Duration = Duration::from_millis(20);

/// Where a generation goes on behind the object with `seal`; `None` if nobody but its writer knows.
pub fn continues_at(seal: &Seal) -> Option<(Index, Offset)> {
    if !seal.is_end() {
        return Some(seal.to);
    }
    let next = seal.to.0.next().map(|next| (next, Offset(0)));
    next.filter(|_| seal.reason.is_empty())
}

impl Shipper {
    /// Makes sure that nobody can continue an index that is finished before `name`, which is of a later one. False if
    /// the replica was given up meanwhile: nobody knows where the index before ends, so no segment may begin another.
    pub(super) async fn end_index_before(
        &self,
        name: &ObjectName,
        page_size: PageSize,
        order: ByteOrder,
    ) -> Result<bool, Failure> {
        let Some((index, mark)) = self.log.place(self.replica) else { return Ok(false) };
        // At offset 0 the end of the index before is there already. Behind 4 GiB there is no name that could be taken.
        if index >= name.index() || mark.offset == Offset(0) || mark.offset >= Offset::LIMIT {
            return Ok(true);
        }
        if !self.look_again().await? {
            return Ok(false);
        }
        let mut ended = self.ended.lock().await;
        if *ended == Some((index, mark.offset)) {
            return Ok(true);
        }
        let end = end_of(name.generation(), (index, &mark), (page_size, order), &self.author);
        if let Some(there) = self.put_end(&end).await?.filter(|there| !is_same_end(there, &end)) {
            return Err(self.conflict(&ObjectName::Segment(end.generation, index, mark.offset), Some(&there)));
        }
        *ended = Some((index, mark.offset));
        Ok(true)
    }

    /// Makes sure that nobody can continue what the replica has of the generation before `ticket`'s snapshot hides the
    /// gap behind it; and that the snapshot gets a later time than everything before it, for it is by the store's time
    /// that Litestream 0.3 chooses a generation, and in it a snapshot.
    pub(super) async fn end_before_gap(&self, ticket: &SnapshotTicket) -> Result<Site, Failure> {
        let backend: &dyn Backend = self.backend.as_ref();
        let last = last_object(backend, ticket.generation, Foreign::Unread).await.map_err(Failure::Retry)?;
        let Some(LastObject { name: last, seal, .. }) = last else {
            return self.begin_after_all(ticket).await;
        };
        let Some(key) = last.key() else { return Err(self.conflict(&last, None)) };
        let Some(seal) = seal.filter(|seal| seal.writer == self.author.writer) else {
            return Err(self.conflict(&last, None));
        };
        if last == ObjectName::Snapshot(ticket.generation, ticket.index) {
            let is_same = seal.digest_after == ticket.digest;
            return Ok(if is_same { Site::Taken } else { Site::Free });
        }
        // Of a history that leads nowhere, too, nothing may come before what is there.
        if last.index() >= ticket.index {
            return Err(self.conflict(&last, Some(&seal)));
        }
        let Some(at) = continues_at(&seal) else { return self.outlast(&key).await };
        if at == (ticket.index, Offset(0)) && seal.digest_after == ticket.digest {
            return Ok(Site::Free);
        }
        let name = ObjectName::Segment(ticket.generation, at.0, at.1);
        if at.0 >= ticket.index {
            return Err(self.conflict(&name, Some(&seal)));
        }
        if at.1 < Offset::LIMIT {
            self.put_gap(&gap_at(at, &seal, (ticket.index, &ticket.reason), &self.author)).await?;
            fault_point!("gap-ended");
        }
        self.outlast(&key).await
    }

    /// The newest state is looked for in the generation that ends last; the store may not have been there to ask when
    /// this one began. And one that was forked off is chosen before its parent.
    async fn begin_after_all(&self, ticket: &SnapshotTicket) -> Result<Site, Failure> {
        let newest = newest_time(self.backend.as_ref(), ticket.generation).await.map_err(Failure::Retry)?;
        if newest >= ticket.time && self.log.outlast(self.replica, newest) {
            return Ok(Site::Early);
        }
        let Some(parent) = self.author.parent else { return Ok(Site::Empty) };
        let last = last_object(self.backend.as_ref(), parent.generation, Foreign::Unread).await;
        match last.map_err(Failure::Retry)?.and_then(|last| last.name.key()) {
            Some(key) => self.outlast(&key).await.map(|_| Site::Empty),
            None => Ok(Site::Empty),
        }
    }

    /// Waits until the store gives later times than to what it holds; `key` shows how fine they are.
    async fn outlast(&self, key: &str) -> Result<Site, Failure> {
        let modified = self.backend.head(key).await.map_err(Failure::Retry)?.modified;
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let whole = since.subsec_nanos() == 0;
        tokio::time::sleep(if whole { WHOLE_SECOND } else { TICK }).await;
        Ok(Site::Free)
    }

    /// Once a snapshot is there, behind a gap perhaps: Litestream is to find it. And nobody else may have begun the
    /// generation here meanwhile, because another replica has it, too: a generation that has nothing yet has no end
    /// whose name could be taken. The snapshot is taken back then. Everybody looks after he has put his own, so of two
    /// who begin at the same time one at least sees the other.
    pub(super) async fn bridge_before(&self, ticket: &SnapshotTicket, begins: bool) -> Result<(), Failure> {
        let last = last_object(self.backend.as_ref(), ticket.generation, Foreign::Unread).await;
        let Some(last) = last.map_err(Failure::Retry)? else { return Ok(()) };
        if last.name.index() > ticket.index {
            return self.take_back(ticket, &last).await;
        }
        if begins
            && last.first < ticket.index
            && let Some(other) = self.other_beginning(ticket).await?
        {
            return self.take_back(ticket, &other).await;
        }
        if let Some(unbridged) = Unbridged::of(&last) {
            bridge(self.backend.as_ref(), &unbridged, &self.author).await.map_err(Failure::Retry)?;
            fault_point!("gap-bridged");
        }
        Ok(())
    }

    /// What another writer has put before `ticket`'s snapshot, if it does not lead there.
    async fn other_beginning(&self, ticket: &SnapshotTicket) -> Result<Option<LastObject>, Failure> {
        let (backend, within) = (self.backend.as_ref(), (Index::default(), Some(ticket.index)));
        let before = last_object_within(backend, ticket.generation, within, Foreign::Unread).await;
        let leads_here =
            |seal: &Seal| continues_at(seal) == Some((ticket.index, Offset(0))) && seal.digest_after == ticket.digest;
        let is_other = |seal: &Seal| seal.writer != self.author.writer && !leads_here(seal);
        Ok(before.map_err(Failure::Retry)?.filter(|before| before.seal.as_ref().is_some_and(is_other)))
    }

    async fn take_back(&self, ticket: &SnapshotTicket, last: &LastObject) -> Result<(), Failure> {
        let late = ObjectName::Snapshot(ticket.generation, ticket.index);
        let behind = ObjectName::Segment(ticket.generation, ticket.index, Offset(0)).key().unwrap_or_default();
        let is_alone = self.backend.head(&behind).await.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if let Some(key) = late.key().filter(|_| is_alone) {
            // If that fails, what is behind it can be restored all the same.
            let _ = self.backend.delete(&[key]).await;
        }
        Err(self.conflict(&last.name, last.seal.as_ref()))
    }

    async fn put_gap(&self, gap: &Seal) -> Result<(), Failure> {
        match self.put_end(gap).await? {
            None => Ok(()),
            Some(there) if there.writer == self.author.writer && continues_at(&there).is_none() => Ok(()),
            Some(there) => {
                Err(self.conflict(&ObjectName::Segment(gap.generation, gap.from.0, gap.from.1), Some(&there)))
            }
        }
    }

    /// Puts an end. Returns the seal of what stands in its place, if something does.
    pub(super) async fn put_end(&self, end: &Seal) -> Result<Option<Seal>, Failure> {
        let name = ObjectName::Segment(end.generation, end.from.0, end.from.1);
        let Some(key) = name.key() else { return Err(self.conflict(&name, None)) };
        let object = encode(end).map_err(Failure::other)?;
        fault_point!("end-encoded");
        let put = self.backend.put_new(&key, object.into()).await;
        fault_point!("end-put");
        match put {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = read_own_seal(self.backend.as_ref(), &key).await.map_err(Failure::Retry)?;
                there.map(Some).ok_or_else(|| self.conflict(&name, None))
            }
            Err(error) => Err(Failure::Retry(error)),
        }
    }
}

/// Whoever wrote it: the index is finished, in the state that we know.
pub(super) fn is_same_end(there: &Seal, end: &Seal) -> bool {
    there.is_end()
        && there.reason.is_empty()
        && (there.digest_after, there.checksum_after) == (end.digest_after, end.checksum_after)
}

/// The object of an end.
pub(super) fn encode(end: &Seal) -> io::Result<Bytes> {
    Ok(Encoder::new(Vec::new(), 0).finish(end.clone())?.0.into())
}

/// The end of an index, at `mark`.
fn end_of(
    generation: Generation,
    (index, mark): (Index, &Mark),
    (page_size, order): (PageSize, ByteOrder),
    author: &Author,
) -> Seal {
    let here = (index, mark.offset);
    let digest = mark.digest.unwrap_or(StateDigest::default());
    Seal {
        kind: SealKind::Segment,
        generation,
        from: here,
        to: here,
        page_size,
        size_before: mark.size,
        size_after: mark.size,
        digest_before: digest,
        digest_after: digest,
        raw_bytes: 0,
        content: [0; 32],
        order,
        salts: Salts::default(),
        checksum_before: mark.checksum,
        checksum_after: mark.checksum,
        source: mark.source,
        writer: author.writer,
        time: mark.time,
        parent: None,
        software: author.software.clone(),
        reason: String::new(),
        commits: Vec::new(),
    }
}

/// The end of the index in which `last` is the last segment, whoever wrote that.
pub(super) fn end_behind(last: &Seal, author: &Author) -> Seal {
    Seal { writer: author.writer, ..nothing_at(last.to, last, author, String::new()) }
}

/// The end of a history that goes on behind a gap, with a snapshot: of this index, and for this reason. `last` is the
/// last object before the gap.
pub(super) fn gap_at(at: (Index, Offset), last: &Seal, goes_on: (Index, &str), author: &Author) -> Seal {
    let reason = format!("goes on with the snapshot of index {}: {}", goes_on.0, goes_on.1);
    nothing_at(at, last, author, reason)
}

/// An object without data behind `last`.
fn nothing_at(at: (Index, Offset), last: &Seal, author: &Author, reason: String) -> Seal {
    Seal {
        kind: SealKind::Segment,
        from: at,
        to: at,
        size_before: last.size_after,
        digest_before: last.digest_after,
        raw_bytes: 0,
        salts: Salts::default(),
        checksum_before: last.checksum_after,
        parent: None,
        software: author.software.clone(),
        reason,
        commits: Vec::new(),
        ..last.clone()
    }
}
