//! The table of everything that must not happen, and the tests that it names.

use super::files::File;

const HEADING: &str = "\n## Every way in which commits were lost\n";
/// What is said of a row that needs no test.
const REASONS: [&str; 2] = ["cannot occur: ", "not supported"];

/// Whether some test has this name: it has the attribute, or stands in a macro of proptest.
pub fn has_test(files: &[File], name: &str) -> bool {
    let declared = format!("fn {name}(");
    let is_test = |file: &&File| {
        let Some(at) = file.text.find(&declared) else { return false };
        let attributes =
            file.text[..at].rsplit('\n').skip(1).take_while(|line| line.trim_start().starts_with(['#', '/']));
        attributes.map(str::trim_start).any(|line| line.starts_with("#[") && line.contains("test"))
    };
    files.iter().filter(|file| file.is_rust()).any(|file| is_test(&file))
}

/// Rows that are missing, or that name no test and no reason, or a test that does not exist.
pub fn untested(document: &str, rows: usize, files: &[File]) -> Vec<String> {
    let section = document.split_once(HEADING).map_or("", |(_, behind)| behind);
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let table: Vec<Vec<&str>> = section.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let mut complaints = Vec::new();
    for number in 1..=rows {
        let row = table.iter().find(|cells| cells.get(1) == Some(&number.to_string().as_str()));
        let Some(tests) = row.and_then(|cells| cells.get(3)) else {
            complaints.push(format!("row {number} is missing"));
            continue;
        };
        let is_name = |word: &&str| word.contains('_') && !word.contains(|c: char| !c.is_alphanumeric() && c != '_');
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).filter(is_name).collect();
        if names.is_empty() && !REASONS.iter().any(|reason| tests.contains(reason)) {
            complaints.push(format!("row {number} has no test and no reason"));
        }
        let lost = names.iter().filter(|name| !has_test(files, name));
        complaints.extend(lost.map(|name| format!("row {number}: there is no test {name}")));
    }
    complaints
}

#[test]
fn a_row_without_a_test_is_found() {
    let files =
        [File::new("src/a.rs", "    /// Of x.\n    #[tokio::test]\n    async fn it_is_so() {\nfn other_one() {\n")];
    let table = |row: &str| format!("# A\n{HEADING}\n| 1 | x `-wal` | {row} |\n\n## B\n| 2 | x | `it_is_so` |\n");
    for (row, complaints) in [
        ("`it_is_so`; more remains", 0),
        ("cannot occur: there is none", 0),
        ("remains", 1),
        ("`it_is_so`, `it_is_not_so`", 1),
        ("`other_one`", 1),
    ] {
        assert_eq!(untested(&table(row), 1, &files).len(), complaints, "{row}");
    }
    assert_eq!(untested(&table("`it_is_so`"), 2, &files), ["row 2 is missing"]);
}
