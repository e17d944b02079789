//! The files of the project.

use std::fs;
use std::path::Path;

/// A text file, by its path from the root of the project.
#[derive(Debug)]
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    /// For examples.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tests may print, unwrap, and use what they need.
    pub fn is_test(&self) -> bool {
        self.path.contains("tests/") || self.path.ends_with("/tests.rs")
    }

    /// Its lines with their numbers, without comments and without a test module at its end.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let inline_tests = self.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..inline_tests].lines().enumerate();
        lines.map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

const FOLDERS: [&str; 9] =
    ["src", "replica-backends", "fault-points", "tests", "fuzz", "docs", "fixtures", ".ci", ".config"];
const SKIPPED: [&str; 5] = ["target", "corpus", "artifacts", "coverage", "__pycache__"];

/// Everything that people write: no build output, no binary files.
pub fn all_files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            read(root, &path, &mut files);
        }
    }
    for folder in FOLDERS {
        walk(root, &root.join(folder), &mut files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_file() {
            read(root, &path, files);
        } else if !SKIPPED.contains(&name) {
            walk(root, &path, files);
        }
    }
}

fn read(root: &Path, path: &Path, files: &mut Vec<File>) {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
    // Written by cargo, and by whoever else works here.
    if name.ends_with(".lock") || name == ".git" {
        return;
    }
    // Binary files are no text, and cases that proptest has found are written by it.
    let by_proptest = |text: &String| text.starts_with("# Seeds for failure cases proptest");
    if let Some(text) = fs::read_to_string(path).ok().filter(|text| !by_proptest(text)) {
        files.push(File { path: name.to_owned(), text });
    }
}
