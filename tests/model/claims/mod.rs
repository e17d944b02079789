//! Publication: replicators that write to one replica, each of which may be stopped and continued between any two of
//! its requests, killed, and cut off from the answer; merging, snapshots, gaps, and retention.
//!
//! Each has a database of its own that went on from what the replica ends with, as after a restore. What is left out:
//! several replicas, merged ranges (they are shortcuts only), merging beside the shipping, and the end that takes the
//! index before a snapshot for the sake of Litestream 0.3.

mod store;
mod tests;
mod without;
mod writer;

use stateright::{Model, Property};

use store::{Fault, Kind, Name, Place, State, Store, snapshot};
use without::{Step, Without};
use writer::{Conflict, Doing, Writer};

/// How far it goes.
#[derive(Debug, Clone, Copy)]
pub struct Claims {
    pub writers: u8,
    /// The second has a copy of the first one's state folder, and so its name.
    pub twins: bool,
    pub commits: u8,
    pub indexes: u8,
    pub deaths: u8,
    pub lost_answers: u8,
    pub gaps: u8,
    pub snapshots: u8,
    pub merges: u8,
    pub prunes: u8,
    pub without: Without,
}

/// How often something has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Count {
    indexes: u8,
    deaths: u8,
    lost_answers: u8,
    gaps: u8,
    snapshots: u8,
    merges: u8,
    prunes: u8,
    forks: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    store: Store,
    writers: Vec<Writer>,
    /// From which state each state was made, from state 1 on.
    parents: Vec<State>,
    /// What retention is going to delete, the first of it at the end.
    prune: Vec<Name>,
    count: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Start {
        writer: usize,
        same_wal: bool,
    },
    Kill(usize),
    Commit(usize),
    NextIndex(usize),
    Ship {
        writer: usize,
        commits: usize,
        answered: bool,
    },
    /// A request fails for good.
    Skip(usize),
    Step(usize),
    Merge(usize),
    AskForSnapshot(usize),
    ShipSnapshot(usize),
    FallBehind(usize),
    PlanRetention(u8),
    Prune,
}

pub const RESTORABLE: &str = "every object can be restored, and belongs to the history before it";
pub const BELIEVED: &str = "what a replicator believes to be shipped can be restored";
pub const LITESTREAM: &str = "nothing stands behind the leftovers of a merge";

impl Model for Claims {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let id = |n| if self.twins { 0 } else { n };
        let writers = (0..self.writers).map(|n| Writer::new(id(n))).collect();
        let (parents, prune) = (Vec::new(), Vec::new());
        vec![World { store: Store::default(), writers, parents, prune, count: Count::default() }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.fault() == Some(Fault::Unreachable) {
            return;
        }
        for writer in 0..world.writers.len() {
            self.writer_actions(world, writer, actions);
        }
        if !world.prune.is_empty() {
            actions.push(Action::Prune);
        } else if world.count.prunes < self.prunes && !world.is_merging() {
            // What was just shipped, and is merged, is within the time of grace.
            actions.extend(world.generations().map(Action::PlanRetention));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action, &self.without);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(RESTORABLE, |_, world: &World| world.fault() != Some(Fault::Unreachable)),
            Property::always(BELIEVED, |model: &Self, world: &World| model.prunes > 0 || world.is_believed()),
            Property::sometimes("everything is shipped", |model: &Self, world: &World| {
                let done = |writer: &Writer| writer.doing == Doing::Shipping && writer.todo.is_empty();
                world.parents.len() == usize::from(model.commits) && world.writers.iter().all(done)
            }),
        ];
        // Two that merge and ship at the same time may leave this until the next start of one of them.
        if self.writers == 1 {
            let free = |_: &Self, world: &World| world.fault() != Some(Fault::BehindLeftover);
            properties.push(Property::always(LITESTREAM, free));
        } else {
            properties.push(Property::sometimes("one forks", |_, world: &World| world.count.forks > 0));
        }
        properties
    }
}

impl Claims {
    fn writer_actions(&self, world: &World, writer: usize, actions: &mut Vec<Action>) {
        let (count, it) = (&world.count, &world.writers[writer]);
        if it.doing == Doing::Down {
            // The second comes when there is something to go on with.
            if writer == 0 || !world.store.objects.is_empty() {
                actions.extend([true, false].map(|same_wal| Action::Start { writer, same_wal }));
            }
            return;
        }
        actions.extend((count.deaths < self.deaths).then_some(Action::Kill(writer)));
        actions.extend(it.extra.map(|_| Action::ShipSnapshot(writer)));
        if it.doing != Doing::Shipping {
            actions.push(Action::Step(writer));
            return;
        }
        let is_used = it.at.0 == it.open && it.at.1 > 0 || it.todo.last().is_some_and(|(index, _)| *index == it.open);
        actions.extend((world.parents.len() < usize::from(self.commits)).then_some(Action::Commit(writer)));
        actions.extend((is_used && count.indexes < self.indexes).then_some(Action::NextIndex(writer)));
        let of_index = it.todo.iter().take_while(|(index, _)| *index == it.todo[0].0).count();
        for commits in 1..=of_index.min(2) {
            actions.push(Action::Ship { writer, commits, answered: true });
            if count.lost_answers < self.lost_answers {
                actions.push(Action::Ship { writer, commits, answered: false });
            }
        }
        if of_index > 0 && self.without.has(Step::NothingIsShippedBehindAHole) {
            actions.push(Action::Skip(writer));
        }
        let lags =
            !it.todo.is_empty() && (it.extra.is_none() || self.without.has(Step::NobodyIsGivenUpDuringASnapshot));
        actions.extend((lags && count.gaps < self.gaps).then_some(Action::FallBehind(writer)));
        let ready = it.todo.is_empty() || self.without.has(Step::AScheduledSnapshotWaitsForEverythingBefore);
        let wants =
            !is_used && it.open > 0 && it.take_over.is_none() && it.extra.is_none() && count.snapshots < self.snapshots;
        actions.extend((ready && wants).then_some(Action::AskForSnapshot(writer)));
        let may_merge = it.run.len() > 1 && !it.unanswered && world.prune.is_empty();
        actions.extend((may_merge && count.merges < self.merges).then_some(Action::Merge(writer)));
    }
}

impl World {
    fn generations(&self) -> impl Iterator<Item = u8> {
        let mut all: Vec<u8> = self.store.objects.keys().map(|name| name.generation).collect();
        all.dedup();
        all.into_iter()
    }

    fn is_merging(&self) -> bool {
        self.writers.iter().any(|writer| matches!(writer.doing, Doing::Merging(..)))
    }

    fn descends(&self, state: State, from: State) -> bool {
        let mut parents =
            std::iter::successors(Some(state), |state| self.parents.get(usize::from(*state).wrapping_sub(1)).copied());
        parents.any(|state| state == from)
    }

    fn read(&self, generation: u8) -> (Vec<(Place, State)>, Option<Fault>) {
        self.store.read(generation, self.count.prunes > 0, |a, b| self.descends(a, b))
    }

    fn fault(&self) -> Option<Fault> {
        self.generations().find_map(|generation| self.read(generation).1)
    }

    fn is_believed(&self) -> bool {
        let ships = |writer: &&Writer| matches!(writer.doing, Doing::Shipping | Doing::Merging(..));
        self.writers.iter().filter(ships).all(|writer| {
            let at = writer.take_over.unwrap_or(writer.at);
            self.read(writer.generation).0.contains(&(at, writer.state)) || writer.take_over.is_some()
        })
    }

    fn act(&mut self, action: Action, without: &Without) {
        let Self { store, writers, count, .. } = self;
        match action {
            Action::Start { writer, same_wal } => writers[writer].start(store, without, same_wal),
            Action::Kill(writer) => {
                writers[writer].die();
                count.deaths += 1;
            }
            Action::Commit(writer) => {
                let it = &mut writers[writer];
                self.parents.push(it.newest());
                it.todo.push((it.open, self.parents.len() as State));
            }
            Action::NextIndex(writer) => {
                writers[writer].open += 1;
                count.indexes += 1;
            }
            Action::Merge(writer) => {
                writers[writer].merge(store, without);
                count.merges += 1;
            }
            Action::AskForSnapshot(writer) => {
                let it = &mut writers[writer];
                it.extra = Some((it.open, it.newest(), false));
                count.snapshots += 1;
            }
            Action::FallBehind(writer) => {
                self.fall_behind(writer, without);
            }
            Action::PlanRetention(generation) => self.plan_retention(generation, without),
            Action::Prune => {
                self.prune.pop().and_then(|name| store.objects.remove(&name));
            }
            _ => self.ship(action, without),
        }
    }

    fn ship(&mut self, action: Action, without: &Without) {
        let Self { store, writers, count, .. } = self;
        let (writer, shipped) = match action {
            Action::Ship { writer, commits, answered } => {
                count.lost_answers += u8::from(!answered);
                (writer, writers[writer].ship(store, without, commits, answered))
            }
            Action::ShipSnapshot(writer) => (writer, writers[writer].ship_extra(store, without)),
            Action::Step(writer) => (writer, writers[writer].step(store, without)),
            Action::Skip(writer) => {
                let it = &mut writers[writer];
                it.state = it.todo.remove(0).1;
                it.at.1 += 1;
                (writer, Ok(()))
            }
            _ => return,
        };
        // A snapshot beside the segments that finds its name taken is given up; everything else says CONFLICT.
        if let Err(Conflict) = shipped
            && !matches!(action, Action::ShipSnapshot(_))
        {
            count.forks += 1;
            writers[writer].fork(without, 10 + count.forks);
        } else if shipped.is_err() {
            writers[writer].extra = None;
        }
    }

    /// The replica could not be written for too long: it gets a snapshot, and what lies between is not kept.
    fn fall_behind(&mut self, writer: usize, without: &Without) {
        let it = &mut self.writers[writer];
        (it.state, it.open) = (it.newest(), it.open + 1);
        it.todo.clear();
        it.run.clear();
        it.doing = Doing::Gap(it.open);
        if without.has(Step::AScheduledSnapshotNeedsAReplicaThatFollows) {
            it.extra = it.extra.or(Some((it.open, it.state, false)));
        }
        self.count.gaps += 1;
    }

    /// Everything before the newest snapshot.
    fn plan_retention(&mut self, generation: u8, without: &Without) {
        let newest = self.store.of(generation).filter(|(_, object)| object.kind == Kind::Snapshot).last();
        let Some(newest) = newest.map(|(name, _)| *name) else { return };
        let end = if without.has(Step::RetentionKeepsTheNewestSnapshot) {
            snapshot(generation, newest.at.0 + 1)
        } else {
            newest
        };
        self.prune = self.store.of(generation).map(|(name, _)| *name).filter(|name| *name < end).collect();
        if without.has(Step::RetentionGoesFromTheNewest) {
            self.prune.reverse();
        }
        self.count.prunes += 1;
    }
}
