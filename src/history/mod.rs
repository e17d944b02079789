//! What a replica holds and what can be made of it. Pure: listings and seals in, plans out.

mod catalog;
pub mod keys;
mod plan;
mod plan_error;
mod restore_plan;
pub mod retention;
mod seals;
mod timeline;

pub use catalog::{Catalog, Entry, History};
pub use keys::{ObjectName, RangeName};
pub use plan::plan;
pub(crate) use plan_error::check_place;
pub use plan_error::{PlanError, PlanStop};
pub(crate) use restore_plan::key as plan_key;
pub use restore_plan::{PlannedEnd, PlannedObject, RestorePlan, Target};
pub use seals::{NeedsSeals, Sealing, Seals};
pub use timeline::{Bounds, all_bounds, bounds, end};
