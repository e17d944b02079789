//! The rules of the house, held by a test: who may use what, how long things may be, and what may not be left behind.
//!
//! Each rule is a function from a file to complaints, and each is shown to complain about a bad example.
#![allow(clippy::unwrap_used)]

#[path = "tidy/acceptance.rs"]
mod acceptance;
#[path = "tidy/edges.rs"]
mod edges;
#[path = "tidy/faults.rs"]
mod faults;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/mutations.rs"]
mod mutations;
#[path = "tidy/reach.rs"]
mod reach;
#[path = "tidy/seeds.rs"]
mod seeds;
#[path = "tidy/text.rs"]
mod text;

use files::{File, all_files};

/// Every complaint that `rule` has about the whole tree.
fn complaints(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    all_files().iter().flat_map(|file| rule(file).into_iter().map(|text| format!("{}{text}", file.path))).collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_use_only_what_stands_below_them() {
    assert_none(&complaints(edges::modules));
}

#[test]
fn each_library_has_one_owner() {
    assert_none(&complaints(edges::libraries));
}

#[test]
fn the_pure_modules_touch_nothing_outside() {
    assert_none(&complaints(edges::purity));
}

#[test]
fn time_and_threads_are_asked_for_where_a_simulation_can_answer() {
    assert_none(&complaints(edges::simulation));
}

#[test]
fn only_the_command_line_prints() {
    assert_none(&complaints(edges::printing));
}

#[test]
fn functions_files_and_lines_are_short() {
    assert_none(&complaints(text::long_functions));
    assert_none(&complaints(text::long_file));
    assert_none(&complaints(text::long_lines));
}

#[test]
fn nothing_is_left_behind() {
    assert_none(&complaints(text::leftovers));
    assert_none(&complaints(text::odd_characters));
    assert_none(&complaints(text::vacuous_matches));
}

#[test]
fn every_source_file_is_compiled_or_run() {
    let files = all_files();
    assert_none(&reach::unreachable(&files));
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    assert_none(&complaints(links::broken));
}

#[test]
fn every_key_of_the_configuration_is_documented_with_its_default() {
    let files = all_files();
    let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
    assert_none(&links::undocumented_keys(text("litestream.yml.example"), text("docs/configuration.md")));
}

#[test]
fn every_breakage_can_still_be_made_and_has_a_test_that_notices_it() {
    let files = all_files();
    let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
    assert_none(&mutations::outdated(text("tests/mutations.txt"), &files, text("docs/reliability.md")));
}

#[test]
fn every_seed_that_has_found_something_is_run_and_what_it_found_is_said() {
    let files = all_files();
    let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
    assert_none(&seeds::untold(text("docs/reliability.md"), text("tests/simulation/main.rs")));
}

/// As many ways are known in which backups of SQLite have lost something.
const WAYS_TO_LOSE: usize = 44;

#[test]
fn everything_that_must_not_happen_has_a_test_or_a_reason_why_it_cannot() {
    let files = all_files();
    let document = files.iter().find(|file| file.path == "docs/reliability.md").unwrap();
    assert_none(&acceptance::untested(&document.text, WAYS_TO_LOSE, &files));
}

#[test]
fn every_place_where_it_can_be_killed_is_listed() {
    let files = all_files();
    let document = files.iter().find(|file| file.path == "docs/reliability.md").unwrap();
    assert_none(&faults::unlisted(&document.text, &files));
}

#[test]
fn the_tree_was_found_at_all() {
    let files = all_files();
    for known in ["src/lib.rs", "src/wal/chain.rs", "replica-backends/src/lib.rs", "docs/format.md", "tests/run"] {
        assert!(files.iter().any(|file| file.path == known), "{known}");
    }
}
