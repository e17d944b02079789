//! A replicator's shipper, request by request as in `src/ship`.

use std::collections::BTreeSet;

use super::store::{Kind, Name, Object, Place, State, Store, continues_at, segment, snapshot};
use super::without::{Step, Without};

/// What it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Doing {
    Down,
    /// Before it ships: segments that an interrupted merge has left.
    Clearing(Vec<Name>),
    Shipping,
    /// It has ended the index in which another writer's last segment ends, and looks whether that is still the last.
    TakingOver,
    /// That end has come too late.
    TakingBack,
    /// `end_before_gap`, and then the snapshot of this index.
    Gap(u8),
    /// The end before the gap is to stand here.
    GapAt(u8, Place, State),
    Snapshot(u8),
    /// Puts the merged object, and then deletes these, the last of the list first.
    Merging(Option<(Name, Object)>, Vec<Name>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Writer {
    pub id: u8,
    pub doing: Doing,
    pub generation: u8,
    /// Up to here everything is shipped, it believes,
    pub at: Place,
    /// which is this state.
    pub state: State,
    /// Commits that are to be shipped, and their indexes.
    pub todo: Vec<(u8, State)>,
    /// The index that is open in its log.
    pub open: u8,
    /// Shipped by this process, in the index at its end.
    pub run: Vec<Name>,
    /// A scheduled snapshot: of which index, the state there, and whether it is certain that nobody goes on before it.
    pub extra: Option<(u8, State, bool)>,
    /// Where another writer's history ends that it goes on with, before it has ended the index there.
    pub take_over: Option<Place>,
    /// It has not learnt what became of its last request, and makes it again before it merges.
    pub unanswered: bool,
    /// The generation that it lost.
    pub lost: Option<u8>,
}

/// Another writer was there.
pub struct Conflict;

impl Writer {
    pub fn new(id: u8) -> Self {
        Self {
            id,
            doing: Doing::Down,
            generation: 0,
            at: (0, 0),
            state: 0,
            todo: Vec::new(),
            open: 0,
            run: Vec::new(),
            extra: None,
            take_over: None,
            unanswered: false,
            lost: None,
        }
    }

    /// The state of its database.
    pub fn newest(&self) -> State {
        self.todo.last().map_or(self.state, |(_, state)| *state)
    }

    /// Dead: it remembers its name only.
    pub fn die(&mut self) {
        *self = Self { lost: self.lost, ..Self::new(self.id) };
    }

    /// `find_resume_point`: its own generation, else the newest.
    pub fn start(&mut self, store: &Store, without: &Without, same_wal: bool) {
        let generations: BTreeSet<u8> = store.objects.keys().map(|name| name.generation).collect();
        let known = generations.into_iter().filter(|generation| self.lost != Some(*generation));
        let point = |generation: u8| {
            let (_, last) = store.last_that_counts(generation)?;
            let reasons_are_ignored = without.has(Step::NobodyGoesOnBehindAGap) && last.kind == Kind::Gap;
            let at = continues_at(&last).or(reasons_are_ignored.then_some((last.to.0 + 1, 0)))?;
            Some((last.writer == self.id, last.after, generation, at, last.kind == Kind::Segment))
        };
        match known.filter_map(point).max() {
            None => self.begin_generation(without, 0),
            Some((own, state, generation, at, is_segment)) => {
                (self.generation, self.at, self.state) = (generation, at, state);
                self.open = if same_wal || at.1 == 0 { at.0 } else { at.0 + 1 };
                if is_segment && !own && !without.has(Step::AnotherWritersIndexIsEnded) {
                    (self.take_over, self.at, self.open) = (Some(at), (at.0 + 1, 0), at.0 + 1);
                }
                self.doing = Doing::Clearing(self.leftovers(store, without));
            }
        }
    }

    fn leftovers(&self, store: &Store, without: &Without) -> Vec<Name> {
        if without.has(Step::LeftoversAreCleared) {
            return Vec::new();
        }
        let mut reached = (0, 0);
        let mut covered = Vec::new();
        for (name, object) in store.of(self.generation).filter(|(name, _)| name.is_segment) {
            if name.at < reached && object.to <= reached && name.at.0 == reached.0 {
                covered.push(*name);
            }
            reached = reached.max(object.to);
        }
        // The list is taken from its end.
        if !without.has(Step::TheLastLeftoverIsClearedLast) {
            covered.reverse();
        }
        covered
    }

    /// Its name is that of its first writer here: nobody else makes the same.
    fn begin_generation(&mut self, without: &Without, state: State) {
        *self = Self { generation: self.id, state, doing: Doing::Snapshot(0), lost: self.lost, ..Self::new(self.id) };
        if without.has(Step::AGenerationBeginsWithItsSnapshot) {
            (self.doing, self.extra) = (Doing::Shipping, Some((0, state, true)));
        }
    }

    /// The generation is left to another writer, and a new one begins under a new name.
    pub fn fork(&mut self, without: &Without, fresh: u8) {
        let state = self.newest();
        if !without.has(Step::AForkIsNeverTakenBack) {
            self.lost = Some(self.generation);
        }
        let id = std::mem::replace(&mut self.id, fresh);
        self.begin_generation(without, state);
        if without.has(Step::AForkHasANewName) {
            self.id = id;
        }
    }

    /// `put_new`, and what is in its place if that is not ours or not what we would put.
    fn put(&self, store: &mut Store, without: &Without, name: Name, object: Object) -> Option<Object> {
        if without.has(Step::ObjectsAreOnlyCreated) {
            store.objects.insert(name, object);
        }
        match store.objects.get(&name) {
            Some(there) => Some(*there),
            None => {
                store.objects.insert(name, object);
                Some(object)
            }
        }
    }

    /// Puts the next `count` commits, or the end of the index before them. `answered`: whether it learns of it.
    pub fn ship(&mut self, store: &mut Store, without: &Without, count: usize, answered: bool) -> Result<(), Conflict> {
        let (index, _) = self.todo[0];
        self.unanswered = !answered;
        if let Some(at) = self.take_over {
            let end = Self { at, ..self.clone() };
            if answered {
                self.doing = Doing::TakingOver;
            }
            return end.put_end(store, without);
        }
        if self.at.0 < index {
            return self.end_index(store, without, answered);
        }
        let plan: Vec<State> = self.todo[..count].iter().map(|(_, state)| *state).collect();
        let to = (index, self.at.1 + count as u8);
        let object = Object { kind: Kind::Segment, writer: self.id, before: self.state, after: plan[count - 1], to };
        let name = segment(self.generation, self.at);
        let Some(there) = self.put(store, without, name, object).filter(|_| answered) else { return Ok(()) };
        let own = there.writer == self.id || without.has(Step::WhatIsThereIsLookedAt);
        // Our own earlier attempt may have held fewer commits, and a twin's has others.
        let count = if without.has(Step::AnEarlierAttemptReachesSoFar) || without.has(Step::WhatIsThereIsLookedAt) {
            Some(count)
        } else {
            plan.iter().position(|state| (*state, there.kind) == (there.after, Kind::Segment)).map(|n| n + 1)
        };
        let Some(count) = count.filter(|_| own) else { return Err(Conflict) };
        if there.to.0 != self.run.last().map_or(there.to.0, |name| name.at.0) {
            self.run.clear();
        }
        self.run.push(name);
        (self.at, self.state) = ((index, self.at.1 + count as u8), plan[count - 1]);
        self.todo.drain(..count);
        Ok(())
    }

    /// `end_index_before`.
    fn end_index(&mut self, store: &mut Store, without: &Without, answered: bool) -> Result<(), Conflict> {
        if self.at.1 > 0 && !without.has(Step::AnIndexIsEndedBeforeTheNext) {
            self.put_end(store, without)?;
        }
        if answered {
            self.at = (self.at.0 + 1, 0);
        }
        Ok(())
    }

    fn put_end(&self, store: &mut Store, without: &Without) -> Result<(), Conflict> {
        let (before, after, to) = (self.state, self.state, self.at);
        let end = Object { kind: Kind::End, writer: self.id, before, after, to };
        let there = self.put(store, without, segment(self.generation, self.at), end);
        let same = there.is_some_and(|there| (there.kind, there.after) == (Kind::End, end.after));
        if same || without.has(Step::TheEndIsTheSame) { Ok(()) } else { Err(Conflict) }
    }

    /// A snapshot that was asked for, beside the segments: first the end before it, then the snapshot.
    pub fn ship_extra(&mut self, store: &mut Store, without: &Without) -> Result<(), Conflict> {
        let Some((index, state, ended)) = self.extra else { return Ok(()) };
        let follows = matches!(self.doing, Doing::Shipping | Doing::Merging(..));
        let needs_end = follows && self.at.0 < index && self.at.1 > 0;
        if !ended && needs_end && !without.has(Step::AnIndexIsEndedBeforeASnapshot) {
            self.put_end(store, without)?;
            self.extra = Some((index, state, true));
            return Ok(());
        }
        self.extra = None;
        self.put_snapshot(store, without, index, state)
    }

    fn put_snapshot(&self, store: &mut Store, without: &Without, index: u8, state: State) -> Result<(), Conflict> {
        let object = Object { kind: Kind::Snapshot, writer: self.id, before: state, after: state, to: (index, 0) };
        let there = self.put(store, without, snapshot(self.generation, index), object);
        if there == Some(object) { Ok(()) } else { Err(Conflict) }
    }

    /// One request of what is under way.
    pub fn step(&mut self, store: &mut Store, without: &Without) -> Result<(), Conflict> {
        match self.doing.clone() {
            Doing::Clearing(mut names) => {
                if let Some(name) = names.pop() {
                    store.objects.remove(&name);
                }
                self.doing = if names.is_empty() { Doing::Shipping } else { Doing::Clearing(names) };
            }
            Doing::TakingOver => {
                let Some(at) = self.take_over else { return Ok(()) };
                let end = segment(self.generation, at);
                let is_last = store.last(self.generation).is_some_and(|(name, _)| name == end);
                let continues = store.before(&end).is_some_and(|(_, object)| object.to == at);
                let looks = !without.has(Step::WhatIsTakenOverIsLookedAtAgain);
                if looks && !(is_last && continues) {
                    let mut behind = store.of(self.generation).filter(|(name, _)| name.is_segment && **name > end);
                    let follows = continues && behind.all(|(name, _)| name.at.0 > end.at.0);
                    if follows && !without.has(Step::AnEndInTimeStays) {
                        return Err(Conflict);
                    }
                    self.doing = Doing::TakingBack;
                    return Ok(());
                }
                (self.take_over, self.doing) = (None, Doing::Shipping);
            }
            Doing::TakingBack => {
                let end = segment(self.generation, self.take_over.unwrap_or_default());
                if store.objects.get(&end).is_some_and(|there| there.writer == self.id) {
                    store.objects.remove(&end);
                }
                return Err(Conflict);
            }
            Doing::Gap(index) => self.doing = self.before_gap(store, without, index)?,
            Doing::GapAt(index, to, state) => {
                let gap = Object { kind: Kind::Gap, writer: self.id, before: state, after: state, to };
                let there = self.put(store, without, segment(self.generation, to), gap);
                if !there.is_some_and(|there| (there.kind, there.writer) == (Kind::Gap, self.id)) {
                    return Err(Conflict);
                }
                self.doing = Doing::Snapshot(index);
            }
            Doing::Snapshot(index) => {
                self.put_snapshot(store, without, index, self.state)?;
                (self.at, self.open) = ((index, 0), index);
                self.doing = Doing::Shipping;
            }
            Doing::Merging(merged, mut names) => {
                let deletes_first = without.has(Step::AMergedObjectIsPutBeforeOthersAreDeleted) && !names.is_empty();
                match merged.filter(|_| !deletes_first) {
                    Some((name, object)) => {
                        store.objects.insert(name, object);
                        self.doing = Doing::Merging(None, names);
                    }
                    None => {
                        names.pop().and_then(|name| store.objects.remove(&name));
                        self.doing = Doing::Merging(merged, names);
                    }
                }
                if matches!(&self.doing, Doing::Merging(None, names) if names.is_empty()) {
                    self.doing = Doing::Shipping;
                }
            }
            Doing::Down | Doing::Shipping => {}
        }
        Ok(())
    }

    /// `end_before_gap`.
    fn before_gap(&self, store: &Store, without: &Without, index: u8) -> Result<Doing, Conflict> {
        let Some((name, last)) = store.last(self.generation) else { return Ok(Doing::Snapshot(index)) };
        if name == snapshot(self.generation, index) || without.has(Step::AGapIsMarked) {
            return Ok(Doing::Snapshot(index));
        }
        if last.writer != self.id && !without.has(Step::OnlyTheLastWriterLeavesAGap) {
            return Err(Conflict);
        }
        match continues_at(&last) {
            None => Ok(Doing::Snapshot(index)),
            Some(at) if at.0 >= index => Err(Conflict),
            Some(at) => Ok(Doing::GapAt(index, at, last.after)),
        }
    }

    /// `merge_run` at the very end of the history.
    pub fn merge(&mut self, store: &Store, without: &Without) {
        let run = std::mem::take(&mut self.run);
        let part = |name: &Name| store.objects.get(name).copied();
        let (Some(first), Some(last)) = (run.first().and_then(part), run.last().and_then(part)) else { return };
        let merged = Object { after: last.after, to: last.to, writer: self.id, ..first };
        // The list is taken from its end.
        let mut others = run[1..].to_vec();
        if !without.has(Step::TheLastIsDeletedLast) {
            others.reverse();
        }
        self.run = vec![run[0]];
        self.doing = Doing::Merging(Some((run[0], merged)), others);
    }
}
