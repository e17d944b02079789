//! Breakages that `tests/mutate` makes, and what the documentation says of them.

use super::acceptance::has_test;
use super::files::File;

/// One of `tests/mutations.txt`.
struct Mutation<'a> {
    title: &'a str,
    file: &'a str,
    caught: &'a str,
    removed: String,
    added: String,
}

fn parse(text: &str) -> Vec<Mutation<'_>> {
    let one = |entry| {
        let lines = || str::lines(entry);
        let field = |key: &str| lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let side = |sign| lines().filter_map(|line| line.strip_prefix(sign)).collect::<Vec<_>>().join("\n");
        let title = lines().next().unwrap_or_default();
        Mutation { title, file: field("file "), caught: field("caught "), removed: side('-'), added: side('+') }
    };
    text.split("\n= ").skip(1).map(one).collect()
}

/// Those of `text` that cannot be made any more, whose test is not there, or that `document` does not name with it.
pub fn outdated(text: &str, files: &[File], document: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for Mutation { title, file, caught, removed, added } in parse(text) {
        let found = files.iter().find(|f| f.path == file).map_or(0, |f| f.text.matches(&removed).count());
        if removed.is_empty() || removed == added || found != 1 {
            complaints.push(format!("{title}: its lines are {found} times in {file:?}"));
        }
        if !has_test(files, caught) {
            complaints.push(format!("{title}: there is no test {caught:?}"));
        }
        if !document.contains(&format!("| {title} | `{caught}` |")) {
            complaints.push(format!("{title}: docs/reliability.md does not say that {caught} catches it"));
        }
    }
    complaints
}

#[test]
fn a_breakage_that_cannot_be_made_is_found() {
    let files = [File::new("src/a.rs", "x == y\n"), File::new("src/b.rs", "#[test]\nfn it_is_noticed() {\n")];
    let text = |old: &str, test: &str| format!("text\n\n= A\nfile src/a.rs\nrun x\ncaught {test}\n-{old}\n+true\n");
    let document = "| A | `it_is_noticed` |";
    assert_eq!(outdated(&text("x == y", "it_is_noticed"), &files, document), [""; 0]);
    assert_eq!(outdated(&text("x == z", "it_is_noticed"), &files, document).len(), 1);
    assert_eq!(outdated(&text("x == y", "it_is"), &files, document).len(), 2);
    assert_eq!(outdated(&text("x == y", "it_is_noticed"), &files, "").len(), 1);
}
