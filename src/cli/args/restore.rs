//! The arguments of `restore`.

use std::path::PathBuf;

use super::{
    PARALLELISM, Restore, RestoreOutput, RestoreSource, Source, Until, config, flags, no_more_than, source, stated,
    value,
};

/// One database or all of them; up to which state; where to.
pub fn restore(flags: flags::Restore) -> Result<Restore, String> {
    let until = until(&flags)?;
    let output = output(&flags)?;
    let generation = stated(flags.generation).map(|text| value::generation(&text)).transpose()?;
    let source = if flags.all {
        if generation.is_some() || !matches!(until, Until::Latest | Until::Timestamp(_) | Until::Point(_)) {
            return Err("with -all, a state is chosen with -timestamp or -point".to_owned());
        }
        no_more_than(1, &flags.arguments)?;
        let folder = flags.arguments.into_iter().next().filter(|word| !word.is_empty()).map(PathBuf::from);
        RestoreSource::All { config: config(flags.config), folder }
    } else {
        RestoreSource::One(source(flags.arguments, flags.config, "database path or replica URL required")?)
    };
    if output == RestoreOutput::Place && matches!(source, RestoreSource::One(Source::Url(_))) {
        return Err("output path required; name it with -o".to_owned());
    }
    Ok(Restore {
        source,
        replica: stated(flags.replica),
        generation,
        until,
        output,
        if_db_not_exists: flags.if_db_not_exists,
        if_replica_exists: flags.if_replica_exists,
        parallelism: stated(flags.parallelism).map_or(Ok(PARALLELISM), |text| value::parallelism(&text))?,
        dry_run: flags.dry_run,
        progress: !flags.no_progress,
    })
}

/// At most one of the flags that choose a state, and no generation beside those that know theirs.
fn until(flags: &flags::Restore) -> Result<Until, String> {
    let of = |text: &Option<String>| stated(text.clone());
    let (index, timestamp, txid) = (of(&flags.index), of(&flags.timestamp), of(&flags.txid));
    let (point, position, generation) = (of(&flags.point), of(&flags.position), of(&flags.generation));
    let choices = [
        ("index", index.is_some()),
        ("timestamp", timestamp.is_some()),
        ("generation", generation.is_some() && (txid.is_some() || point.is_some() || position.is_some())),
        ("txid", txid.is_some()),
        ("point", point.is_some()),
        ("position", position.is_some()),
    ];
    let mut chosen = choices.into_iter().filter_map(|(name, chosen)| chosen.then_some(name));
    if let (Some(one), Some(other)) = (chosen.next(), chosen.next()) {
        return Err(format!("cannot specify {one} & {other} to restore"));
    }
    let parsed = [
        index.map(|text| value::index(&text).map(Until::Index)),
        timestamp.map(|text| value::timestamp(&text).map(Until::Timestamp)),
        txid.map(|text| value::txid(&text).map(Until::Txid)),
        point.map(|name| Ok(Until::Point(name))),
        position.map(|text| value::position(&text).map(Until::Position)),
    ];
    parsed.into_iter().flatten().next().unwrap_or(Ok(Until::Latest))
}

fn output(flags: &flags::Restore) -> Result<RestoreOutput, String> {
    let path = flags.output.clone().filter(|path| !path.as_os_str().is_empty());
    let barred = [
        ("-o", path.is_some()),
        ("-all", flags.all),
        ("-dry-run", flags.dry_run),
        ("-if-db-not-exists", flags.if_db_not_exists),
    ];
    match (flags.to_stdout, barred.into_iter().find(|(_, stated)| *stated)) {
        (true, Some((flag, _))) => Err(format!("-to-stdout does not go with {flag}")),
        (true, None) => Ok(RestoreOutput::Stdout),
        (false, _) => Ok(path.map_or(RestoreOutput::Place, RestoreOutput::Path)),
    }
}
