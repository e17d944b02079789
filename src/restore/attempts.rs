//! What a restore does when it has failed: retention and merging may have changed the replica since it was listed, the
//! quick way of putting objects together names no culprit, and a merged range can be done without.

use std::collections::BTreeSet;

use super::error::{ApplyError, ObjectFault, RestoreError};
use super::image::Edge;
use super::{Progress, RestoreRequest, choose};
use crate::history::{ObjectName, PlanError, RestorePlan};
use crate::restore::{Choice, NamedBackend};

/// How often a restore is planned anew because the replica is no longer what it was.
const REPLANS_MAX: usize = 5;
/// Damaged merged ranges for which a restore begins anew.
const AVOIDED_MAX: usize = 64;

/// What has been tried. Each attempt begins with an empty file, so no two plans are ever mixed.
#[derive(Default)]
pub struct Attempts {
    replans: usize,
    /// Merged ranges that are not used any more.
    avoided: BTreeSet<ObjectName>,
    /// The objects are applied in their order, so that the one at fault is found.
    pub in_order: bool,
    /// The plan that has failed last, and why.
    failed: Option<(RestorePlan, RestoreError)>,
}

impl Attempts {
    /// What to try now.
    ///
    /// # Errors
    /// Why the last attempt has failed, if there is nothing more to try; or why there is no plan.
    pub async fn next(
        &mut self,
        replicas: &[NamedBackend],
        request: &RestoreRequest,
        progress: &dyn Progress,
    ) -> Result<Choice, RestoreError> {
        let mut before = None;
        loop {
            let choice = match choose::choose(replicas, request, &self.avoided, progress).await {
                Ok(choice) => choice,
                // Listing takes a while, and what is listed first may be gone when the rest is.
                Err(error) if is_of_listing(&error) && before.as_ref() != Some(&error.to_string()) => {
                    self.replan(error).map(|error| before = Some(error.to_string()))?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match (&choice, self.failed.take()) {
                (Choice::Generation(chosen), Some((plan, error))) if is_still_so(&error, &plan, &chosen.plan) => {
                    if !self.in_order && plan.is_sealed() {
                        self.in_order = true;
                    } else {
                        self.avoid(&plan, error, progress)?;
                        continue;
                    }
                }
                (_, Some((_, error))) => drop(self.replan(error)?),
                (_, None) => {}
            }
            return Ok(choice);
        }
    }

    /// Takes note that `plan` has failed.
    ///
    /// # Errors
    /// The error, if another attempt would end in the same way.
    pub fn note(&mut self, plan: RestorePlan, error: RestoreError) -> Result<(), RestoreError> {
        match &error {
            RestoreError::Apply { source: ApplyError::Object(..) | ApplyError::Plan(_), .. } => {}
            error if is_outdated(error) => {}
            _ => return Err(error),
        }
        self.failed = Some((plan, error));
        Ok(())
    }

    /// The same for a plan of which only the objects that are gone may become others.
    ///
    /// # Errors
    /// The error, if another attempt would end in the same way.
    pub fn note_listed(&mut self, error: RestoreError) -> Result<(), RestoreError> {
        if is_outdated(&error) { self.replan(error).map(drop) } else { Err(error) }
    }

    /// The error back, if the limit has not been reached.
    fn replan(&mut self, error: RestoreError) -> Result<RestoreError, RestoreError> {
        self.replans += 1;
        if self.replans > REPLANS_MAX { Err(error) } else { Ok(error) }
    }

    /// Leaves out the ranges that `error` may come from.
    fn avoid(&mut self, plan: &RestorePlan, error: RestoreError, progress: &dyn Progress) -> Result<(), RestoreError> {
        let doubtful = doubtful_ranges(&error, plan);
        if doubtful.is_empty() || self.avoided.len() + doubtful.len() > AVOIDED_MAX {
            return Err(error);
        }
        progress.warn(&format!("{error}; restoring from finer objects instead"));
        self.avoided.extend(doubtful);
        Ok(())
    }
}

/// Whether the objects planned are no longer those that are there, so that another plan may succeed.
fn is_outdated(error: &RestoreError) -> bool {
    match error {
        RestoreError::Unreadable { source, .. } => source.kind() == replica_backends::ErrorKind::NotFound,
        RestoreError::Apply { source: ApplyError::Object(_, fault), .. } => matches!(**fault, ObjectFault::Changed),
        _ => false,
    }
}

/// Whether what `failed` has failed for is the same in `plan`. A replica that is being written has more objects each
/// time it is listed, so plans differ all the same.
fn is_still_so(error: &RestoreError, failed: &RestorePlan, plan: &RestorePlan) -> bool {
    let found = |plan: &RestorePlan, name| plan.objects().find(|o| o.name == name).map(|o| o.stored_bytes);
    match error {
        _ if is_outdated(error) => false,
        RestoreError::Apply { source: ApplyError::Object(name, _), .. } => found(failed, *name) == found(plan, *name),
        _ => failed == plan,
    }
}

/// Whether another listing may be without that fault.
fn is_of_listing(error: &RestoreError) -> bool {
    is_outdated(error) || matches!(error, RestoreError::Plan { .. } | RestoreError::LtxPlan { .. })
}

/// The merged ranges that a restore may fail for: the one that is at fault, or, if what follows does not continue the
/// state, any of them. Finer objects hold what they hold, so it is worth trying without.
fn doubtful_ranges(error: &RestoreError, plan: &RestorePlan) -> Vec<ObjectName> {
    let RestoreError::Apply { source, .. } = error else { return Vec::new() };
    let ranges = plan.steps.iter().map(|step| step.name).filter(|name| name.range().is_some());
    match source {
        ApplyError::Object(name, _) | ApplyError::Plan(PlanError::Misplaced(name, ..)) if name.range().is_some() => {
            vec![*name]
        }
        ApplyError::Object(_, fault) if matches!(**fault, ObjectFault::State { edge: Edge::Before, .. }) => {
            ranges.collect()
        }
        _ => Vec::new(),
    }
}
