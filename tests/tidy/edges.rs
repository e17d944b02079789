//! Who may use whom (docs/architecture.md).

use super::files::File;

/// Each module and what it may use of this crate. What is not listed may use everything.
const MODULES: [(&str, &[&str]); 14] = [
    ("types", &[]),
    ("host", &[]),
    ("wal", &["types"]),
    ("segment", &["types", "wal"]),
    ("ltx", &["types", "segment"]),
    ("history", &["types", "wal", "segment"]),
    ("stored", &["segment", "history"]),
    ("sqlite", &["types", "host", "wal"]),
    ("config", &["types"]),
    ("follow", &["types", "host", "wal", "segment", "sqlite"]),
    ("ship", &["types", "host", "wal", "segment", "history", "stored", "follow"]),
    ("restore", &["types", "host", "wal", "segment", "ltx", "history", "stored"]),
    ("doctor", &["types", "sqlite"]),
    ("verify", &["types", "host", "wal", "segment", "history", "sqlite", "follow", "ship", "restore"]),
];
/// Above all of those: uses everything but what is above it.
const ABOVE: [(&str, &[&str]); 1] = [("daemon", &["cli"])];

/// Modules that speak bytes and values only.
const PURE: [&str; 5] = ["types", "wal", "segment", "ltx", "history"];
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "tokio::",
    "rustix::",
    "Instant::now",
    "SystemTime::now",
    "fault_point!",
];
/// The clock itself has to ask the system what time it is.
const CLOCK: &str = "src/types/time.rs";

/// What is asked of `host` only, so that a simulation can answer.
const OF_THE_HOST: [&str; 5] = ["Instant::now", ".elapsed()", "thread::sleep", "spawn_blocking(", "getrandom::"];
/// Modules that a simulation runs, and files of theirs that it does not.
const SIMULATED: [&str; 6] = ["sqlite", "follow", "ship", "restore", "verify", "daemon"];
const NOT_SIMULATED: [&str; 2] = ["src/follow/watch.rs", "src/ship/stream.rs"];

/// Each library and the only place that may name it.
const OWNERS: [(&str, &str); 6] = [
    ("age", "replica-backends/"),
    ("rusqlite", "src/sqlite/"),
    ("object_store", "replica-backends/"),
    ("notify", "src/follow/watch.rs"),
    ("serde_yaml", "src/config/raw"),
    ("lz4_flex", "src/segment/"),
];

const PRINTING: [&str; 6] =
    [concat!("print", "ln!("), concat!("eprint", "ln!("), "print!(", "eprint!(", "io::stdout(", "io::stderr("];

fn module(file: &File) -> Option<&str> {
    let inner = file.path.strip_prefix("src/").filter(|_| file.is_rust())?;
    Some(inner.split(['/', '.']).next().unwrap_or(inner))
}

/// The line names the crate `library` in a path or imports it; not a method or a variable of that name.
fn names(line: &str, library: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(library).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + library.len()..]);
        let whole = !before.ends_with(|c| is_name(c) || c == '.' || c == ':') && !after.starts_with(is_name);
        whole && (after.starts_with("::") || before.ends_with("use "))
    })
}

pub fn modules(file: &File) -> Vec<String> {
    let Some(module) = module(file).filter(|_| !file.is_test()) else { return Vec::new() };
    let allowed = MODULES.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
    let forbidden = ABOVE.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, forbidden)| *forbidden);
    let mut complaints = Vec::new();
    for (number, line) in file.code() {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let fine = used == module || allowed.is_none_or(|allowed| allowed.contains(&used.as_str()));
            if !fine || forbidden.contains(&used.as_str()) {
                complaints.push(format!(":{number}: {module} must not use {used:?}"));
            }
        }
    }
    complaints
}

pub fn libraries(file: &File) -> Vec<String> {
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (library, owner) in OWNERS {
        if file.path.starts_with(owner) {
            continue;
        }
        for (number, line) in file.code() {
            if names(line, library) {
                complaints.push(format!(":{number}: only {owner} may name {library}"));
            }
        }
    }
    complaints
}

pub fn purity(file: &File) -> Vec<String> {
    if !module(file).is_some_and(|module| PURE.contains(&module)) || file.is_test() || file.path == CLOCK {
        return Vec::new();
    }
    let impure = |line: &&str| IMPURE.iter().find(|word| line.contains(**word)).copied();
    let found = file.code().filter_map(|(number, line)| Some((number, impure(&line)?)));
    found.map(|(number, word)| format!(":{number}: a pure module must not use {word}")).collect()
}

pub fn simulation(file: &File) -> Vec<String> {
    let simulated = module(file).is_some_and(|module| SIMULATED.contains(&module));
    if !simulated || file.is_test() || NOT_SIMULATED.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let asks = |line: &str| OF_THE_HOST.iter().find(|word| line.contains(**word)).copied();
    let found = file.code().filter_map(|(number, line)| Some((number, asks(line)?)));
    found.map(|(number, word)| format!(":{number}: crate::host is asked instead of {word}")).collect()
}

pub fn printing(file: &File) -> Vec<String> {
    if !file.is_rust() || file.is_test() || file.path.starts_with("src/cli/") {
        return Vec::new();
    }
    let prints = |line: &str| PRINTING.iter().any(|word| line.contains(word));
    let found = file.code().filter(|(_, line)| prints(line));
    found.map(|(number, _)| format!(":{number}: only src/cli/ prints")).collect()
}

#[test]
fn a_module_that_looks_up_is_found() {
    let upward = File::new("src/wal/chain.rs", "use super::x;\nuse crate::types::PageNo;\nuse crate::follow::Mark;\n");
    assert_eq!(modules(&upward), [":3: wal must not use \"follow\""]);
    let grouped = File::new("src/types/page.rs", "use crate::{wal, ship};\n");
    assert_eq!(modules(&grouped), [":1: types must not use \"\""]);
    let in_place = File::new("src/daemon/database.rs", "fn x() { crate::cli::run(); crate::ship::run() }\n");
    assert_eq!(modules(&in_place), [":1: daemon must not use \"cli\""]);
    let fine =
        "// crate::cli is only spoken of\nuse crate::wal::X;\n#[cfg(test)]\nmod tests {\n    use crate::ship::Y;\n}\n";
    assert_eq!(modules(&File::new("src/segment/seal.rs", fine)), [""; 0]);
}

#[test]
fn a_library_in_the_wrong_place_is_found() {
    let bad = "use rusqlite::Connection;\nfn x(n: notify::Event) {}\nuse object_store as store;\n\
               let y = tokio::sync::Notify;\n";
    assert_eq!(libraries(&File::new("src/restore/mod.rs", bad)).len(), 3);
    assert_eq!(libraries(&File::new("src/sqlite/mod.rs", "use rusqlite::Connection;\n")), [""; 0]);
    assert_eq!(libraries(&File::new("src/follow/mod.rs", "self.notify::<X>();\nlet notify = 1;\n")), [""; 0]);
}

#[test]
fn an_effect_in_a_pure_module_is_found() {
    for effect in ["use std::fs;", "let t = Instant::now();", "tokio::spawn(x);", "std::env::var(\"X\")"] {
        assert_eq!(purity(&File::new("src/wal/chain.rs", effect)).len(), 1, "{effect}");
        assert_eq!(purity(&File::new("src/follow/mod.rs", effect)), [""; 0]);
    }
}

#[test]
fn what_a_simulation_could_not_answer_is_found() {
    for (path, complaints) in [("src/follow/log.rs", 1), ("src/cli/demo.rs", 0), ("src/ship/stream.rs", 0)] {
        assert_eq!(simulation(&File::new(path, "let now = Instant::now();\n")).len(), complaints, "{path}");
    }
}

#[test]
fn printing_in_the_wrong_place_is_found() {
    let line = concat!("    print", "ln!(\"x\");\n");
    assert_eq!(printing(&File::new("src/daemon/mod.rs", line)).len(), 1);
    assert_eq!(printing(&File::new("src/cli/console.rs", line)), [""; 0]);
}
