//! What a replica holds and what can be made of it. Pure: listings and seals in, plans out.

mod catalog;
pub mod keys;
mod plan;
mod seals;
mod timeline;

pub use catalog::{Catalog, Entry, History};
pub use keys::ObjectName;
pub use plan::{PlanError, PlanStop, PlannedEnd, PlannedObject, RestorePlan, Target, plan};
pub(crate) use plan::{check_place, key as plan_key};
pub use seals::{NeedsSeals, Sealing, Seals};
pub use timeline::{Bounds, all_bounds, bounds, end};
