//! What a replica holds and what can be made of it. Pure: listings and seals in, plans out.

mod catalog;
pub mod keys;
mod last;
pub mod ltx;
mod plan;
mod plan_error;
pub mod point;
mod restore_plan;
pub mod retention;
mod route;
mod runs;
mod seals;
mod thinned;
mod timeline;

pub use catalog::{Catalog, Entry, History};
pub use keys::{ObjectName, RangeName};
pub use plan::plan;
pub(crate) use plan_error::check_place;
pub use plan_error::{PlanError, PlanStop};
pub(crate) use restore_plan::key as plan_key;
pub use restore_plan::{PlannedEnd, PlannedObject, RestorePlan, Target};
pub use route::covers;
pub use runs::{Run, runs};
pub use seals::{NeedsSeals, Sealing, Seals};
pub use thinned::{Thinned, leads_to};
pub use timeline::{Bounds, all_bounds, bounds, end};
