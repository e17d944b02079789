//! Replicas of Litestream 0.5: which LTX files a listing shows, and which of them a restore needs.

mod catalog;
mod name;
mod plan;
mod times;

pub use catalog::{LtxCatalog, LtxEntry};
pub use name::{LTX, LtxLevel, LtxName, ltx_folders};
pub use plan::{LtxPlan, LtxPlanError, LtxStop, LtxTarget, plan_ltx};
pub use times::{LtxTimes, NeedsTimes, ltx_bounds};

#[cfg(test)]
mod tests;
