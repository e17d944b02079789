//! The arguments of `point`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{Point, PointAction, flags, source, stated, value};
use crate::history::point::check_name;

/// `create NAME`, `list` or `delete NAME`, then of what.
pub fn point(flags: flags::Point) -> Result<Point, String> {
    let mut words = flags.arguments.into_iter();
    let action = words.next().unwrap_or_default();
    let at = stated(flags.timestamp).map(|text| value::timestamp(&text)).transpose()?;
    let meta = flags.meta.iter().map(|pair| entry(pair)).collect::<Result<BTreeMap<_, _>, _>>()?;
    if action != "create" && (at.is_some() || !meta.is_empty()) {
        return Err("-timestamp and -meta go with point create only".to_owned());
    }
    let action = match action.to_str() {
        Some("create") => PointAction::Create { name: name(words.next())?, at, meta },
        Some("list") => PointAction::List,
        Some("delete") => PointAction::Delete { name: name(words.next())? },
        _ => return Err("say create NAME, list or delete NAME".to_owned()),
    };
    let source = source(words.collect(), flags.config, "database path or replica URL required")?;
    Ok(Point { action, source, replica: stated(flags.replica), json: flags.json })
}

fn name(word: Option<OsString>) -> Result<String, String> {
    let word = word.ok_or_else(|| "the name of a point is required".to_owned())?;
    let name = value::utf8(word)?;
    check_name(&name).map_err(|error| error.to_string())?;
    Ok(name)
}

fn entry(pair: &str) -> Result<(String, String), String> {
    let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).unwrap_or_default();
    if key.is_empty() {
        return Err(format!("invalid value {pair:?} for flag -meta: say KEY=VALUE"));
    }
    Ok((key.to_owned(), value.to_owned()))
}
