//! `retention`: what may be deleted, and why the rest stays; without `-dry-run` it is deleted.

use super::args::Retention;
use super::console::Console;
use super::error::CliError;
use super::{block_on, replicas};
use crate::daemon::{grace_of, plan_for};
use crate::history::Seals;
use crate::ship::prune;
use crate::types::{Clock, SystemClock};

/// Prints the plan of every replica and carries it out.
pub fn run(command: &Retention, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let mut outcome = Ok(());
    for (replica, policy) in replicas.backends.iter().zip(&replicas.policies) {
        let mut policy = policy.clone();
        if let Some(keep) = command.keep {
            (policy.everything, policy.tiers, policy.grace) = (Some(keep), Vec::new(), grace_of(Some(keep)));
        }
        let work = async {
            let plan = plan_for(replica, &mut Seals::default(), &policy, None, SystemClock.now()).await?;
            console.table(&format!("replica {}\n{plan}\n", replica.name));
            if command.dry_run { Ok(None) } else { prune(replica.backend.as_ref(), &plan).await.map(Some) }
        };
        match block_on(work)? {
            Ok(None) => {}
            Ok(Some(pruned)) => {
                console.say(&format!("replica {}: deleted {} objects", replica.name, pruned.objects));
                let failures = pruned.failure.iter().map(ToString::to_string);
                let remaining = pruned.remaining.iter().map(|key| format!("{key} is still listed"));
                for problem in failures.chain(remaining) {
                    console.say(&format!("replica {}: {problem}", replica.name));
                    outcome = Err(CliError::NotPruned);
                }
            }
            Err(error) => {
                console.say(&format!("cannot read replica {}: {error}", replica.name));
                outcome = Err(CliError::NotPruned);
            }
        }
    }
    outcome
}
