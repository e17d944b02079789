//! The page hashes that following begins with and leaves behind: kept in the state folder, and found out from a replica
//! when those are missing or old.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use replica_backends::Backend;

use super::Database;
use super::database::blocking;
use super::names::fresh_generation;
use super::not_now::NotNow;
use super::page_file;
use crate::follow::{self, Attached, Baseline, CommitLog, Follower, Lost, ResumePoint};
use crate::host;
use crate::restore::{Forward, NamedBackend, RestoreError, rebuild_hashes};
use crate::segment::{PageHashes, StateDigest};
use crate::types::{Index, Position};

/// The file is written at most so often while the database is followed, and at most for this part of the time.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);
const WRITE_SHARE: u32 = 100;
/// Reading so much from a replica costs next to nothing.
const CHEAP_BYTES: u64 = 1 << 20;
/// No database in a history needs more room than this beside four times that of its end.
const SIZE_SPARE_BYTES: u64 = 1 << 30;

impl Database {
    /// Begins to follow; with the page hashes that the state folder has, or if they are needed and are not those of the
    /// replica's end, with what can be found out.
    pub(super) async fn attach(
        &self,
        points: Vec<Option<ResumePoint>>,
        backends: &[Arc<dyn Backend>],
    ) -> Result<(Attached, Keeper), NotNow> {
        let folder = self.meta_path.clone();
        let kept = blocking(move || page_file::read(&folder)).await.ok();
        let mut keeper = Keeper::new(&self.meta_path, kept.as_ref().map(|known| known.hashes.digest()));
        let baseline = Baseline::new(&self.meta_path, kept.map(|known| known.hashes));
        let (attached, points, mut baseline) = self.attach_once(points, baseline).await;
        let point = match attached {
            Err(Lost::HashesUnknown(point)) => point,
            other => return Ok((other?, keeper)),
        };
        let number = points.iter().position(|p| p.as_ref() == Some(&*point)).unwrap_or(0);
        let replica = NamedBackend { name: self.replicas[number].name.clone(), backend: Arc::clone(&backends[number]) };
        match find_out(&self.meta_path, &replica, &point).await {
            Ok(hashes) => {
                let position = Position { generation: point.generation, index: point.index, offset: point.offset };
                keeper.keep(position, &hashes);
                baseline.learn(hashes);
            }
            Err(reason) => baseline.give_up(reason),
        }
        Ok((self.attach_once(points, baseline).await.0?, keeper))
    }

    async fn attach_once(
        &self,
        points: Vec<Option<ResumePoint>>,
        baseline: Baseline,
    ) -> (Result<Attached, Lost>, Vec<Option<ResumePoint>>, Baseline) {
        let (path, limits, now) = (self.path.clone(), self.limits.clone(), self.clock.now());
        blocking(move || {
            let attached = follow::attach(&path, limits, &points, &baseline, fresh_generation(), now);
            (attached, points, baseline)
        })
        .await
    }
}

/// Finds out the hashes of the state at `point`, where `replica` ends.
///
/// # Errors
/// Why that is impossible, or costs more than a snapshot.
async fn find_out(folder: &Path, replica: &NamedBackend, point: &ResumePoint) -> Result<PageHashes, String> {
    let cost_max = point.size.bytes(point.page_size).max(CHEAP_BYTES);
    let why = match bring_forward(folder, replica, point, cost_max).await {
        Ok(hashes) => return Ok(hashes),
        Err(why) => why,
    };
    tracing::info!(replica = %replica.name, generation = %point.generation, why,
        "page hashes of the last state are not at hand: rebuilding them from the replica");
    let rebuilt = rebuild_hashes(replica, point.generation, size_max(point), |bytes| bytes <= cost_max).await;
    let wrong = || "the objects of the replica do not lead to the state that its last one names".to_owned();
    match rebuilt {
        Ok(Ok(hashes)) if is_of(&hashes, point) => Ok(hashes),
        Ok(Ok(_)) => Err(wrong()),
        Ok(Err(bytes)) => Err(format!(
            "its page hashes are not known ({why}), and to rebuild them {bytes} bytes would have to be read from the \
             replica: a snapshot costs less"
        )),
        Err(error) => Err(format!("its page hashes are not known ({why}), and cannot be rebuilt: {error}")),
    }
}

/// From the state of the file, by the objects behind it.
async fn bring_forward(
    folder: &Path,
    replica: &NamedBackend,
    point: &ResumePoint,
    cost_max: u64,
) -> Result<PageHashes, String> {
    let known = page_file::read(folder)?;
    if known.position.generation != point.generation || known.hashes.page_size() != point.page_size {
        return Err(format!("those at hand are of generation {}", known.position.generation));
    }
    if is_of(&known.hashes, point) {
        return Ok(known.hashes);
    }
    let way = Forward::plan(replica, known.position).await.map_err(|error| error.to_string())?;
    let (objects, bytes) = (way.objects(), way.stored_bytes());
    if bytes > cost_max {
        return Err(format!("those at hand are {bytes} bytes of segments behind"));
    }
    let hashes = way.run(known.hashes, size_max(point)).await.map_err(|error: RestoreError| error.to_string())?;
    if !is_of(&hashes, point) {
        return Err("those at hand do not lead to the last state".to_owned());
    }
    tracing::info!(replica = %replica.name, from = %known.position, objects, bytes,
        "page hashes brought forward by the objects of the replica");
    Ok(hashes)
}

fn is_of(hashes: &PageHashes, point: &ResumePoint) -> bool {
    (hashes.page_size(), hashes.size(), hashes.digest()) == (point.page_size, point.size, point.digest)
}

fn size_max(point: &ResumePoint) -> u64 {
    4 * point.size.bytes(point.page_size) + SIZE_SPARE_BYTES
}

/// Keeps the file of the state folder near the end of the replicas. It is never needed, so it is written rarely, never
/// by an idle database, and a failure is only mentioned.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    /// What the file holds.
    written: Option<StateDigest>,
    /// Of what is written already, but lies ahead of every replica.
    staged: Option<(Index, StateDigest)>,
    not_before: Instant,
}

impl Keeper {
    /// For the state folder `folder`, whose file holds a state with the digest `written`.
    #[must_use]
    pub fn new(folder: &Path, written: Option<StateDigest>) -> Self {
        Self { folder: folder.to_owned(), written, staged: None, not_before: host::now() }
    }

    /// Whether [`Keeper::stage`] is due after a handover.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.staged.is_none() && self.not_before <= host::now()
    }

    /// Writes the hashes of the state at the last handover, for the time when a replica has got that far. Blocks.
    pub fn stage(&mut self, follower: &Follower) {
        let Some((position, hashes)) = follower.boundary().filter(|(_, h)| self.written != Some(h.digest())) else {
            return;
        };
        let since = host::now();
        match page_file::stage(&self.folder, position, hashes) {
            Ok(()) => self.staged = Some((position.index, hashes.digest())),
            Err(error) => self.say(&error),
        }
        self.not_before = host::now() + WRITE_INTERVAL.max(host::since(since) * WRITE_SHARE);
    }

    /// Puts what was staged in place once a replica has got that far.
    pub fn note_progress(&mut self, log: &CommitLog) {
        if let Some((index, digest)) = self.staged.filter(|(index, _)| log.is_shipped_before(*index)) {
            tracing::debug!(folder = %self.folder.display(), %index, "page hashes kept");
            self.staged = None;
            match page_file::publish_staged(&self.folder) {
                Ok(()) => self.written = Some(digest),
                Err(error) => self.say(&error),
            }
        }
    }

    /// At the end of following: keeps the last state if some replica ends with it. Blocks.
    pub fn keep_last(&mut self, follower: &Follower) {
        self.note_progress(follower.log());
        let (hashes, log) = (follower.hashes(), follower.log());
        if self.written == Some(hashes.digest()) {
            return;
        }
        if let Some((index, offset)) = log.replica_with(hashes.digest(), hashes.size()) {
            self.keep(Position { generation: log.generation(), index, offset }, hashes);
        }
    }

    /// Keeps the hashes of the state at `position`. Blocks.
    pub fn keep(&mut self, position: Position, hashes: &PageHashes) {
        match page_file::write(&self.folder, position, hashes) {
            Ok(()) => self.written = Some(hashes.digest()),
            Err(error) => self.say(&error),
        }
    }

    fn say(&self, error: &std::io::Error) {
        tracing::warn!(folder = %self.folder.display(), %error,
            "cannot keep the page hashes: if they are needed they will be read from the replica");
    }
}
