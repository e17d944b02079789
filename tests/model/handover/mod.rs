//! The handover: writers, readers and checkpointers of the application, and the replicator among them, which may be
//! killed and started again at any moment.
//!
//! What is left out: pages (a database is in a state, or torn), frames that are not committed (the running checksum
//! tells them, and `wal/chain` is tested on its own), the recovery of a wal-index, other files in the database's place.

mod replicator;
mod tests;
mod wal;
mod without;

use stateright::{Model, Property};

use replicator::{At, Entry, Hold, Lease, Replicator, Source};
use wal::{Database, Party, State, Transaction};
use without::{Step, Without};

/// How far it goes.
#[derive(Debug, Clone)]
pub struct Handover {
    pub commits: usize,
    pub restarts: u8,
    /// Deaths of the replicator, of a checkpointer, and of everything at once.
    pub deaths: u8,
    pub power_cuts: u8,
    pub truncates: u8,
    pub apps: u8,
    pub leases: u8,
    pub without: Without,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    db: Database,
    replicator: Replicator,
    /// What the replica ends with, and where that was in the source's WAL.
    end: State,
    cursor: (u8, u8),
    /// Something else than what was captured has been shipped, or something was left out.
    wrong: bool,
    deaths: u8,
    truncates: u8,
    leases: u8,
    /// It has left a guard for a new WAL.
    has_changed_wal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Begin(u8),
    TakeWriteLock(u8),
    Commit(u8),
    End(u8),
    BeginCheckpoint,
    GoOnCheckpointing,
    Truncate,
    KillCheckpointer,
    Kill,
    LosePower(u8),
    Start,
    Step,
    Observe,
    HandOver,
    GiveWay,
    StepAside,
    /// The pin was only moved to give way; or everything is copied back, and the write lock is not needed.
    PutOff,
    Offer,
    EndLease,
    Release,
    Plan,
    Read,
    Put,
}

impl Model for Handover {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            db: Database::new(),
            replicator: Replicator::down(),
            end: 0,
            cursor: (0, 0),
            wrong: false,
            deaths: 0,
            truncates: 0,
            leases: 0,
            has_changed_wal: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // Behind a flaw there is nothing of interest.
        if !world.wrong && !world.replicator.lost {
            self.app_actions(world, actions);
            self.replicator_actions(world, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action, &self.without);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(CONTINUES, |_, world: &World| !world.replicator.lost),
            Property::always(COMPLETE, |_, world: &World| !world.wrong),
            Property::always(STILL, |_, world: &World| world.stands_still()),
            Property::always(KEPT, |_, world: &World| world.is_kept()),
            Property::sometimes("the WAL restarts under a guard, and is followed", |_, world: &World| {
                world.has_changed_wal
            }),
            Property::sometimes("everything is shipped", |model: &Self, world: &World| {
                world.db.parents.len() == model.commits && world.end == world.db.newest()
            }),
        ]
    }
}

pub const CONTINUES: &str = "a replicator that lives never loses the thread";
pub const COMPLETE: &str = "what is shipped continues what was shipped, or says that it does not";
pub const STILL: &str = "what is copied for a snapshot stands still";
pub const KEPT: &str = "what was captured can be shipped: it is in the WAL still, or in memory";

impl Handover {
    fn app_actions(&self, world: &World, actions: &mut Vec<Action>) {
        let db = &world.db;
        let may_commit = db.parents.len() < self.commits;
        for app in 0..self.apps {
            match db.apps[usize::from(app)] {
                None if may_commit => actions.push(Action::Begin(app)),
                None => {}
                Some(_) if db.writer == Some(Party::App(app)) => {
                    let may = may_commit && db.salts < self.restarts;
                    actions.extend(may.then_some(Action::Commit(app)));
                    actions.push(Action::End(app));
                }
                Some(Transaction { stale, .. }) => {
                    actions.extend((!stale && db.writer.is_none()).then_some(Action::TakeWriteLock(app)));
                    actions.push(Action::End(app));
                }
            }
        }
        actions.push(Action::BeginCheckpoint);
        if db.checkpoint.is_some_and(|checkpoint| checkpoint.by == Party::Checkpointer) {
            actions.push(Action::GoOnCheckpointing);
            actions.extend((world.deaths < self.deaths).then_some(Action::KillCheckpointer));
        }
        if world.truncates < self.truncates && db.salts < self.restarts && db.can_truncate() {
            actions.push(Action::Truncate);
        }
    }

    fn replicator_actions(&self, world: &World, actions: &mut Vec<Action>) {
        let (db, replicator) = (&world.db, &world.replicator);
        if world.deaths < self.deaths {
            actions.extend((replicator.at != At::Down).then_some(Action::Kill));
            if world.deaths < self.power_cuts {
                actions.extend((db.synced..=db.frames.len() as u8).map(Action::LosePower));
            }
        }
        if replicator.lease.is_some() {
            actions.push(Action::EndLease);
        }
        match replicator.reading {
            Some((_, None)) => actions.push(Action::Read),
            Some((_, Some(_))) => actions.push(Action::Put),
            None if replicator.is_attached() && !replicator.log.is_empty() => actions.push(Action::Plan),
            None => {}
        }
        match replicator.at {
            At::Down => actions.push(Action::Start),
            At::Idle => {
                actions.push(Action::Observe);
                let free = replicator.lease.is_none() && !replicator.held_for_lease;
                let free = free || self.without.has(Step::NoHandoverDuringALease);
                if free && matches!(replicator.hold, Hold::Pinned { .. }) {
                    actions.push(Action::HandOver);
                    let same = replicator.tail.is_some_and(|(salts, _)| salts == db.salts);
                    actions.extend((same && db.index().is_copied()).then_some(Action::GiveWay));
                    actions.push(Action::StepAside);
                }
                if replicator.lease.is_none() && !replicator.held_for_lease && world.leases < self.leases {
                    actions.push(Action::Offer);
                }
                if replicator.held_for_lease && replicator.lease.is_none() {
                    actions.push(Action::Release);
                }
            }
            At::Bulk | At::Lock => actions.extend([Action::Step, Action::PutOff]),
            _ => actions.push(Action::Step),
        }
    }
}

impl World {
    fn act(&mut self, action: Action, without: &Without) {
        let Self { db, replicator, .. } = self;
        match action {
            Action::Begin(app) => {
                db.apps[usize::from(app)] = Some(Transaction { lock: db.begin_read(), stale: false });
            }
            Action::TakeWriteLock(app) => db.writer = Some(Party::App(app)),
            Action::Commit(app) => db.commit(usize::from(app)),
            Action::End(app) => db.die(Party::App(app)),
            Action::BeginCheckpoint => {
                db.begin_checkpoint(Party::Checkpointer);
            }
            Action::GoOnCheckpointing => db.go_on_checkpointing(Party::Checkpointer),
            Action::Truncate => {
                db.truncate();
                self.truncates += 1;
            }
            Action::KillCheckpointer => {
                db.die(Party::Checkpointer);
                self.deaths += 1;
            }
            Action::Kill | Action::LosePower(_) => {
                db.die(Party::Ours);
                *replicator = Replicator::down();
                self.deaths += 1;
                if let Action::LosePower(kept) = action {
                    db.lose_power(kept);
                }
            }
            _ => self.replicate(action, without),
        }
    }

    fn replicate(&mut self, action: Action, without: &Without) {
        let Self { db, replicator, .. } = self;
        match action {
            Action::Start => replicator.at = At::First,
            Action::Step => {
                let was = replicator.tail;
                replicator.step(db, without, (self.end, self.cursor));
                let changed = was.zip(replicator.tail).is_some_and(|(a, b)| a.0 + 1 == b.0);
                self.has_changed_wal |= changed && matches!(replicator.at, At::Leave(_));
            }
            Action::Observe => replicator.observe(db),
            Action::HandOver => {
                let Hold::Pinned { mark } = replicator.hold else { return };
                replicator.at = if db.index().frames > mark { At::Move(0) } else { At::Bulk };
            }
            Action::GiveWay => replicator.at = At::Give(0),
            Action::StepAside => replicator.at = At::Aside(0),
            Action::PutOff => replicator.at = At::Idle,
            Action::Offer => {
                let index = db.index();
                replicator.lease = Some(match replicator.hold {
                    Hold::Guarded => Lease::File(replicator.captured),
                    Hold::Pinned { .. } => Lease::BesideWal { salts: index.salts, frames: index.frames },
                });
                self.leases += 1;
            }
            Action::EndLease => replicator.lease = None,
            Action::Release => {
                db.lines[1 - replicator.held] = None;
                replicator.held_for_lease = false;
            }
            Action::Plan => replicator.reading = Some((replicator.log[0], None)),
            Action::Read => {
                let Some((entry, bytes)) = &mut replicator.reading else { return };
                *bytes = Some(match entry.source {
                    Source::Memory(bytes) => bytes,
                    Source::Wal(frame) => db.frames.get(usize::from(frame)).copied().unwrap_or(State::MAX),
                });
            }
            Action::Put => self.put(without),
            _ => {}
        }
    }

    /// The shipper has read the bytes of an entry, and puts them into the replica if they can be trusted.
    fn put(&mut self, without: &Without) {
        let Some((entry, Some(bytes))) = self.replicator.reading.take() else { return };
        let now = self.replicator.log[0];
        let was_in_wal = matches!(entry.source, Source::Wal(_));
        let moved = was_in_wal && !matches!(now.source, Source::Wal(_));
        let differs = bytes != entry.state;
        if moved && !without.has(Step::TheLogIsLookedAtAgain)
            || differs && !without.has(Step::WhatIsShippedIsWhatWasCaptured)
        {
            return;
        }
        let continues = entry.jump || self.db.parent(entry.state) == self.end;
        self.wrong |= differs || !continues;
        (self.end, self.cursor) = (entry.state, entry.cursor);
        self.replicator.log.remove(0);
    }

    fn is_kept(&self) -> bool {
        let kept = |entry: &Entry| match entry.source {
            Source::Memory(bytes) => bytes == entry.state,
            // Before it is settled what is held, that is about to be found out.
            Source::Wal(_) if self.replicator.at == At::Settle => true,
            Source::Wal(frame) => {
                entry.cursor.0 == self.db.salts && self.db.frames.get(usize::from(frame)) == Some(&entry.state)
            }
        };
        self.replicator.lost || self.replicator.log.iter().all(kept)
    }

    fn stands_still(&self) -> bool {
        match self.replicator.lease {
            None => true,
            Some(Lease::File(state)) => self.db.stands_at(state),
            Some(Lease::BesideWal { salts, frames }) => {
                let copying = self.db.checkpoint.map_or(self.db.copied, |checkpoint| checkpoint.safe);
                self.db.salts == salts && copying <= frames
            }
        }
    }
}
