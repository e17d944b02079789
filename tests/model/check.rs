//! Running a model: whole, or without some of its steps.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Visits every state. Nothing may be wrong anywhere, and everything that should be possible must be.
pub fn assert_sound<M>(model: M, name: &str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + Send + Sync + PartialEq,
    M::Action: Debug + Clone + PartialEq,
{
    let since = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states in {:?}", checker.unique_state_count(), since.elapsed());
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            Expectation::Sometimes => assert!(found.is_some(), "{name}: never: {}", property.name),
            _ => assert!(found.is_none(), "{name}: not always: {}\n{}", property.name, steps(found.unwrap())),
        }
    }
}

/// The shortest way on which the property `broken` of the model breaks, if there is one.
pub fn finds<M>(model: M, broken: &'static str) -> Option<String>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + Send + Sync + PartialEq,
    M::Action: Debug + Clone + PartialEq,
{
    let finish = HasDiscoveries::AnyOf([broken].into());
    model.checker().finish_when(finish).spawn_bfs().join().discovery(broken).map(steps)
}

/// Whether there is time for larger worlds.
pub fn is_long() -> bool {
    std::env::var_os("LIGHTSHIP_MODEL").is_some()
}

fn steps<S: Debug, A: Debug>(path: stateright::Path<S, A>) -> String {
    let last = format!("  {:?}", path.last_state());
    path.into_actions().iter().map(|action| format!("  {action:?}\n")).collect::<String>() + &last
}
