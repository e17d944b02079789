//! Links within the documentation.

use std::path::Path;

use super::files::File;

pub fn broken(file: &File) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file.path);
    let folder = folder.parent().unwrap();
    let mut complaints = Vec::new();
    for (i, line) in file.text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or(target);
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !path.is_empty() && !folder.join(path).exists() {
                complaints.push(format!(":{}: there is no {path}", i + 1));
            }
        }
    }
    complaints
}

/// Keys of `example` that state a default which the table in `document` does not state.
pub fn undocumented_keys(example: &str, document: &str) -> Vec<String> {
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let mut complaints = Vec::new();
    for line in example.lines() {
        let line = line.trim_start_matches(['#', '-', ' ']);
        let Some((key, rest)) = line.split_once(':') else { continue };
        if key.contains(|c: char| c == ' ' || c.is_ascii_uppercase()) || key.is_empty() || rest.starts_with('/') {
            continue;
        }
        let default = rest.split_once("default: ").map(|(_, default)| default);
        let stated = |row: &&&str| {
            let mut cells = row.split(" | ");
            let names = cells.next().is_some_and(|keys| keys.contains(&format!("`{key}`")));
            names && default.is_none_or(|default| cells.next() == Some(default) || !default.starts_with(is_value))
        };
        let known =
            rows.iter().find(stated).is_some() || ["interval", "enabled", "identities", "recipients"].contains(&key);
        if !known {
            complaints.push(format!("{key} (default {default:?}) is not in docs/configuration.md"));
        }
    }
    complaints
}

/// What a default begins with that is a value, and not a description of one.
fn is_value(c: char) -> bool {
    c.is_ascii_digit()
}

#[test]
fn a_key_that_is_not_documented_is_found() {
    let document = "| `a`, `b` | 1s | x |\n";
    assert_eq!(undocumented_keys("a: 1s   # default: 1s\n#-b: x\n# A text: here\n", document), [""; 0]);
    assert_eq!(undocumented_keys("a: 1s   # default: 2s\n", document).len(), 1);
    assert_eq!(undocumented_keys("#-    c: x\n", document).len(), 1);
}

#[test]
fn a_broken_link_is_found() {
    let text = "[a](src/lib.rs) [b](#here) [c](https://sqlite.org/wal.html)\n[d](docs/nothing.md#x)\n";
    assert_eq!(broken(&File::new("README.md", text)), [":2: there is no docs/nothing.md"]);
}
