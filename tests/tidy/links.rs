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

#[test]
fn a_broken_link_is_found() {
    let text = "[a](src/lib.rs) [b](#here) [c](https://sqlite.org/wal.html)\n[d](docs/nothing.md#x)\n";
    assert_eq!(broken(&File::new("README.md", text)), [":2: there is no docs/nothing.md"]);
}
