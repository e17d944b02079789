//! A file that nothing names is a file that nobody runs.

use std::path::Path;

use super::files::File;

/// Files that cargo finds by itself.
fn is_root(path: &str) -> bool {
    let in_folder = |folder: &str| path.strip_prefix(folder).is_some_and(|name| !name.contains('/'));
    path.ends_with("src/lib.rs")
        || path.ends_with("src/main.rs")
        || path.ends_with("build.rs")
        || in_folder("tests/")
        || in_folder("replica-backends/tests/")
        || path.starts_with("fuzz/fuzz_targets/")
        || (path.starts_with("tests/") && path.ends_with("/main.rs"))
}

pub fn unreachable(files: &[File]) -> Vec<String> {
    let rust = files.iter().filter(|file| file.is_rust() && !is_root(&file.path));
    let lost_modules = rust.filter(|file| !is_declared(files, &file.path));
    let data = files.iter().filter(|file| file.path.starts_with("tests/") && !file.is_rust() && !is_root(&file.path));
    let lost_data = data.filter(|file| !is_mentioned(files, &file.path));
    lost_modules.chain(lost_data).map(|file| format!("{}: nothing uses it", file.path)).collect()
}

/// Some file of the same tree has `mod name;`, or a path attribute that ends like this.
fn is_declared(files: &[File], path: &str) -> bool {
    let path = Path::new(path);
    let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
    let (parents, name) = if stem == "mod" { (folder.parent().unwrap(), folder) } else { (folder, Path::new(stem)) };
    let name = name.file_name().unwrap().to_str().unwrap();
    let beside = parents.with_extension("rs");
    let by_path = format!("{}\"]", path.strip_prefix("tests").unwrap_or(path).display());
    files.iter().filter(|file| file.is_rust()).any(|file| {
        let here = Path::new(&file.path);
        let is_parent = here == beside
            || ["mod.rs", "lib.rs", "main.rs"].iter().any(|root| here == parents.join(root))
            || (here.parent() == Some(parents) && is_root(&file.path));
        let declares = |line: &str| {
            let line = line.trim_start();
            line.ends_with(&format!("mod {name};")) && !line.starts_with("//")
        };
        (is_parent && file.text.lines().any(declares))
            || file.text.lines().any(|line| line.contains("#[path") && line.ends_with(&by_path))
    })
}

/// Its name stands in a test, a script or a program.
fn is_mentioned(files: &[File], path: &str) -> bool {
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    files.iter().any(|file| file.path != path && !file.path.ends_with(".md") && file.text.contains(name))
}

#[test]
fn a_forgotten_file_is_found() {
    let file = File::new;
    let files = [
        file("src/lib.rs", "pub mod a;\n// mod lost;\n"),
        file("src/a.rs", "mod b;\n#[cfg(test)]\nmod tests;\n"),
        file("src/a/b.rs", ""),
        file("src/a/tests.rs", ""),
        file("src/a/lost.rs", ""),
        file("src/lost.rs", ""),
        file("tests/suite/main.rs", "mod x;\n#[path = \"../restore/mod.rs\"]\nmod restore;\n"),
        file("tests/suite/x.rs", "run(\"tool.py\")"),
        file("tests/restore/mod.rs", "mod y;\n"),
        file("tests/restore/y.rs", ""),
        file("tests/restore/lost.rs", ""),
        file("tests/support/tool.py", ""),
        file("tests/support/lost.py", ""),
    ];
    let lost = ["src/a/lost.rs", "src/lost.rs", "tests/restore/lost.rs", "tests/support/lost.py"];
    assert_eq!(unreachable(&files), lost.map(|path| format!("{path}: nothing uses it")));
}
