//! The places at which the program can be killed, and the list of them in the documentation.

use std::collections::BTreeMap;

use super::files::File;

const HEADING: &str = "\n## Where it is killed\n";
const PLACE: &str = "fault_point!(\"";

/// Names in `document` that are not in the code exactly once, and those in the code that are not in `document`.
pub fn unlisted(document: &str, files: &[File]) -> Vec<String> {
    let section = document.split_once(HEADING).map_or("", |(_, behind)| behind);
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let listed: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, line) in files.iter().filter(|file| file.is_rust() && !file.is_test()).flat_map(File::code) {
        for behind in line.split(PLACE).skip(1) {
            *passed.entry(behind.split('"').next().unwrap_or_default()).or_default() += 1;
        }
    }
    let times = |name: &&str| passed.get(name).copied().unwrap_or(0);
    let wrong = listed.iter().filter(|name| times(name) != 1);
    let wrong = wrong.map(|name| format!("{name} is {} times in the code", times(name)));
    let missing = passed.keys().filter(|name| listed.iter().filter(|listed| listed == name).count() != 1);
    wrong.chain(missing.map(|name| format!("{name} is not listed once in docs/reliability.md"))).collect()
}

#[test]
fn a_place_that_is_not_listed_is_found() {
    let document = format!("# A\n{HEADING}\n`no-row`\n| x | `a-one` (y), `a-two` |\n\n## B\n| `z` |\n");
    let code =
        |text: &str| [File::new("src/a.rs", text), File::new("src/a/tests.rs", "fault_point!(\"of-a-test\");\n")];
    let one = "    fault_point!(\"a-one\");\n";
    let two = "    // fault_point!(\"spoken-of\")\n    { fault_point!(\"a-two\") }\n";
    assert_eq!(unlisted(&document, &code(&format!("{one}{two}"))), [""; 0]);
    assert_eq!(unlisted(&document, &code(one)), ["a-two is 0 times in the code"]);
    assert_eq!(unlisted(&document, &code(&format!("{one}{two}{one}"))), ["a-one is 2 times in the code"]);
    let third = "    fault_point!(\"a-third\");\n";
    let complaints = unlisted(&document, &code(&format!("{one}{two}{third}")));
    assert_eq!(complaints, ["a-third is not listed once in docs/reliability.md"]);
}
