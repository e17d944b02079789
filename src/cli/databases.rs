//! `databases`: what the configuration names.
//!
//! JSON: `path`, `replicas` (array of objects with `name`, `type`, `target`).

use serde_json::{Value, json};

use super::args::Databases;
use super::console::Console;
use super::error::CliError;
use super::{listing, replicas};

/// Prints the configured databases.
pub fn run(command: &Databases, console: &Console) -> Result<(), CliError> {
    let (config, _) = replicas::load_config(&command.config, console)?;
    let row = |database: &crate::config::DatabaseConfig| {
        let path = database.path.display().to_string();
        let names: Vec<_> = database.replicas.iter().map(|r| r.name.as_str()).collect();
        let replica = |r: &crate::config::ReplicaConfig| {
            let (kind, target) = (r.target.kind().name(), r.target.to_string());
            json!({ "name": r.name, "type": kind, "target": target })
        };
        let replicas: Vec<Value> = database.replicas.iter().map(replica).collect();
        ([path.clone(), names.join(",")], json!({ "path": path, "replicas": replicas }))
    };
    listing::print(["path", "replicas"], config.databases.iter().map(row).collect(), command.json, console);
    Ok(())
}
