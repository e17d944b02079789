//! The list of all places: the one in the documentation, the one of the tests, and what is left of it without the
//! feature.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCUMENT: &str = include_str!("../../../docs/reliability.md");

/// The names that the documentation lists.
fn listed() -> BTreeSet<&'static str> {
    let (_, section) = DOCUMENT.split_once("\n## Where it is killed\n").unwrap();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_place_that_is_listed_is_one_where_it_is_killed() {
    let killed: Vec<&str> = [
        &super::SEALING[..],
        &super::FOLLOWING,
        &super::GIVING_WAY,
        &super::STEPPING_ASIDE,
        &super::STORING,
        &super::COPYING,
        &super::MERGING,
        &super::LEFTOVERS,
        &super::NAMING,
        &super::RESYNCING,
        &super::LETTING_GO,
        &super::FOUNDING,
        &super::FORKING,
        &super::BRIDGING,
        &super::REMEMBERING,
        &super::restore::RESTORING,
    ]
    .concat();
    assert_eq!(killed.iter().copied().collect::<BTreeSet<_>>(), listed());
    assert_eq!(killed.len(), listed().len(), "each is killed by one test");
}

/// The names that stand in a file.
fn names_in(program: &Path) -> BTreeSet<&'static str> {
    let bytes = fs::read(program).unwrap();
    let finder = |name: &&str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    listed().into_iter().filter(finder).collect()
}

/// What cargo says of the features of the crate of the places, along such edges.
fn features(edges: &str) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["tree", "--offline", "--locked", "--package", "lightship", "--invert", "fault-points"]);
    command.args(["--edges", edges]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let told = command.output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

/// Compiles a program that passes every place, with the crate of the places as users get it.
fn program_without_the_feature(folder: &Path) -> PathBuf {
    let rustc = |arguments: &[&str]| {
        let mut command = Command::new("rustc");
        command.args(["--edition", "2024", "--out-dir"]).arg(folder).arg("-L").arg(folder).args(arguments);
        let ended = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(ended.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&ended.stderr));
    };
    rustc(&["--crate-name", "fault_points", "--crate-type", "rlib", "fault-points/src/lib.rs"]);
    let passes: String = listed().iter().map(|name| format!("    fault_points::fault_point!(\"{name}\");\n")).collect();
    let source = folder.join("passes.rs");
    fs::write(&source, format!("fn main() {{\n{passes}}}\n")).unwrap();
    rustc(&["--extern", "fault_points", source.to_str().unwrap()]);
    folder.join("passes")
}

/// The program that the tests run has them, because they ask for the feature as a dependency of tests; whatever is
/// built without tests has not. `LIGHTSHIP_SHIPPED` names a program that was built to be shipped, to be looked into.
#[test]
fn nothing_of_the_places_is_in_a_program_that_is_not_built_for_tests() {
    assert_eq!(names_in(Path::new(env!("CARGO_BIN_EXE_lightship"))), listed());
    let armed = "fault-points feature \"armed\"";
    assert!(features("all,features").contains(armed));
    assert!(!features("normal,build,features").contains(armed));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(names_in(&program_without_the_feature(folder.path())), BTreeSet::new());
    if let Some(shipped) = std::env::var_os("LIGHTSHIP_SHIPPED") {
        assert_eq!(names_in(Path::new(&shipped)), BTreeSet::new());
    }
}
