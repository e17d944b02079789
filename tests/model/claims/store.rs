//! A replica: its objects, and what a reader makes of them.

use std::collections::BTreeMap;

/// A state of a database; states are numbered as they come into being, and nobody else's are the same.
pub type State = u8;
/// Index and offset; offsets count commits.
pub type Place = (u8, u8);

/// In the order in which a listing is read: a snapshot before the segment at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    pub generation: u8,
    pub at: Place,
    pub is_segment: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Snapshot,
    Segment,
    /// The end of an index.
    End,
    /// An end with a reason: the history goes on behind a gap.
    Gap,
}

/// What its seal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    pub kind: Kind,
    pub writer: u8,
    pub before: State,
    pub after: State,
    pub to: Place,
}

/// Where a generation goes on behind an object; `None` if nobody but its writer knows.
pub fn continues_at(object: &Object) -> Option<Place> {
    match object.kind {
        Kind::Snapshot | Kind::Segment => Some(object.to),
        Kind::End => Some((object.to.0 + 1, 0)),
        Kind::Gap => None,
    }
}

pub fn segment(generation: u8, at: Place) -> Name {
    Name { generation, at, is_segment: true }
}

pub fn snapshot(generation: u8, index: u8) -> Name {
    Name { generation, at: (index, 0), is_segment: false }
}

/// A store that creates objects only if they do not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub objects: BTreeMap<Name, Object>,
}

/// What is wrong with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An object cannot be restored: something before it is missing, or belongs to another history.
    Unreachable,
    /// Litestream 0.3, which appends the segments of an index blindly, loses what comes behind a leftover.
    BehindLeftover,
}

impl Store {
    pub fn of(&self, generation: u8) -> impl Iterator<Item = (&Name, &Object)> {
        self.objects.iter().filter(move |(name, _)| name.generation == generation)
    }

    pub fn last(&self, generation: u8) -> Option<(Name, Object)> {
        self.of(generation).last().map(|(name, object)| (*name, *object))
    }

    /// The last one, unless it is an end that stands within the one before it.
    pub fn last_that_counts(&self, generation: u8) -> Option<(Name, Object)> {
        let (name, last) = self.last(generation)?;
        let (before_name, before) = self.before(&name).unwrap_or((name, last));
        let is_stray = last.kind == Kind::End && before.to.0 == name.at.0 && before.to > name.at;
        Some(if is_stray { (before_name, before) } else { (name, last) })
    }

    /// The object before `name`, in the same generation.
    pub fn before(&self, name: &Name) -> Option<(Name, Object)> {
        self.of(name.generation).take_while(|(other, _)| *other < name).last().map(|(name, object)| (*name, *object))
    }

    /// Reads a generation as a restore does, and notes every place that it comes by with the state there. Where
    /// retention was at work (`thinned`), a snapshot may stand behind a hole.
    pub fn read(
        &self,
        generation: u8,
        thinned: bool,
        descends: impl Fn(State, State) -> bool,
    ) -> (Vec<(Place, State)>, Option<Fault>) {
        let (mut seen, mut here, mut gap, mut leftover) = (Vec::new(), None, false, None);
        for (name, object) in self.of(generation) {
            let fits = match here {
                _ if object.kind == Kind::Snapshot => match here {
                    None => true,
                    Some((at, state)) if gap || thinned && name.at > at => descends(object.after, state),
                    Some(here) => here == (name.at, object.after),
                },
                Some((at, state)) if name.at == at && object.before == state && !gap => {
                    if leftover == Some(at.0) && object.kind == Kind::Segment {
                        return (seen, Some(Fault::BehindLeftover));
                    }
                    true
                }
                Some((at, _)) if name.at.0 == at.0 && name.at < at && object.to <= at => {
                    // An end without data, of one that came too late, hides nothing.
                    leftover = leftover.or((object.kind == Kind::Segment).then_some(at.0));
                    continue;
                }
                // An end that was put once more, after retention had taken it: it says nothing of any state.
                _ if thinned && object.kind == Kind::End => continue,
                _ => false,
            };
            if !fits {
                return (seen, Some(Fault::Unreachable));
            }
            gap = object.kind == Kind::Gap;
            let next = continues_at(object).unwrap_or(object.to);
            here = Some((next, object.after));
            seen.extend([(object.to, object.after), (next, object.after)]);
        }
        (seen, None)
    }
}
