//! Which replicas a command is about.

use std::path::{Path, PathBuf};

use super::args::{ConfigSource, Source};
use super::console::Console;
use super::error::CliError;
use crate::config::{self, Config, DatabaseConfig, Environment, ReplicaConfig};
use crate::daemon::{Stores, policy_of};
use crate::history::retention::Policy;
use crate::restore::NamedBackend;

/// The replicas of one database.
#[derive(Debug)]
pub struct Replicas {
    /// The database; `None` for a replica known by its URL only.
    pub database: Option<PathBuf>,
    /// Its state folder.
    pub meta_path: Option<PathBuf>,
    /// In the order of the configuration.
    pub backends: Vec<NamedBackend>,
    /// What each of them keeps.
    pub policies: Vec<Policy>,
}

/// The configuration that the flags name. What its author should hear is said.
pub fn load_config(source: &ConfigSource, console: &Console) -> Result<(Config, Environment), CliError> {
    let environment = Environment::of_this_process().map_err(CliError::Runtime)?;
    let path = config::locate(source.path.as_deref(), &environment);
    let config = config::load(&path, &environment, source.expand_env)?;
    for warning in &config.warnings {
        console.warn(warning);
    }
    Ok((config, environment))
}

/// Opens the replicas that `source` names, or the one called `only`.
pub fn open(source: &Source, only: Option<&str>, console: &Console) -> Result<Replicas, CliError> {
    match source {
        Source::Url(url) => {
            let replica = ReplicaConfig::from_url(url, &Environment::of_this_process().map_err(CliError::Runtime)?)?;
            let backends = vec![backend(&replica, Path::new(""), &Stores::default())];
            Ok(Replicas { database: None, meta_path: None, backends, policies: vec![policy_of(&replica)] })
        }
        Source::Database { path, config } => {
            let (config, environment) = load_config(config, console)?;
            of_database(config.database(path, &environment)?, only, &Stores::default())
        }
    }
}

/// Opens the replicas of all `sources`; of every database of the configuration if there is none.
pub fn open_all(
    sources: &[Source],
    config: &ConfigSource,
    only: Option<&str>,
    console: &Console,
) -> Result<Vec<Replicas>, CliError> {
    if !sources.is_empty() {
        return sources.iter().map(|source| open(source, only, console)).collect();
    }
    let (config, _) = load_config(config, console)?;
    let stores = Stores::default();
    config.databases.iter().map(|database| of_database(database, only, &stores)).collect()
}

/// Opens the replicas of a configured database, or the one called `only`.
pub fn of_database(database: &DatabaseConfig, only: Option<&str>, stores: &Stores) -> Result<Replicas, CliError> {
    let wanted: Vec<_> = database.replicas.iter().filter(|r| only.is_none_or(|name| r.name == name)).collect();
    if wanted.is_empty() {
        let database = database.path.clone();
        return Err(match only {
            Some(name) => CliError::ReplicaNotFound { name: name.to_owned(), database },
            None => CliError::NoReplicas(database),
        });
    }
    let policies = wanted.iter().map(|replica| policy_of(replica)).collect();
    let backends = wanted.into_iter().map(|r| backend(r, &database.path, stores)).collect();
    let (path, meta_path) = (database.path.clone(), database.meta_path.clone());
    Ok(Replicas { database: Some(path), meta_path: Some(meta_path), backends, policies })
}

fn backend(replica: &ReplicaConfig, database: &Path, stores: &Stores) -> NamedBackend {
    NamedBackend { name: replica.name.clone(), backend: stores.open(replica, database, None) }
}
