//! What a file looks like.

use super::files::File;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 450;
const LINE_CHARACTERS_MAX: usize = 120;

/// What may be in a working copy, but not in the tree. Written in two pieces, so as not to be found here.
const LEFTOVERS: [&str; 6] = [
    concat!("to", "do!"),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("#[ign", "ore"),
    concat!("unimpl", "emented!("),
];

/// Functions, by indentation: rustfmt puts the closing brace under the first word.
pub fn long_functions(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let mut complaints = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
        let closing = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let end = lines[start..].iter().position(|line| *line == closing);
        let signature_only = lines[start..].iter().position(|line| line.ends_with(';'));
        let one_line = line.ends_with('}') || line.ends_with(';');
        let body_begins = lines[start..].iter().position(|line| line.ends_with('{'));
        let (Some(end), Some(body)) = (end, body_begins) else { continue };
        let without_body = signature_only.is_some_and(|at| at < body);
        if !one_line && !without_body && end + 1 > FUNCTION_LINES_MAX {
            complaints.push(format!(":{}: a function of {} lines; at most {FUNCTION_LINES_MAX}", start + 1, end + 1));
        }
    }
    complaints
}

fn begins_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        matches!(*word, "pub" | "async" | "const" | "unsafe" | "extern" | "\"C\"") || word.starts_with("pub(")
    });
    words.next() == Some("fn")
}

pub fn long_file(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let too_long = file.is_rust() && lines > FILE_LINES_MAX;
    if too_long { vec![format!(": {lines} lines; at most {FILE_LINES_MAX}")] } else { Vec::new() }
}

/// Tables and links cannot be broken into lines.
pub fn long_lines(file: &File) -> Vec<String> {
    if file.path.starts_with("LICENSE") {
        return Vec::new();
    }
    let breakable = |line: &str| {
        let text = line.trim_start_matches(['/', '!', ' ']);
        !text.starts_with('|') && !line.contains("https://")
    };
    let long = |line: &str| line.chars().count() > LINE_CHARACTERS_MAX && breakable(line);
    let found = file.text.lines().enumerate().filter(|(_, line)| long(line));
    found.map(|(i, _)| format!(":{}: more than {LINE_CHARACTERS_MAX} characters", i + 1)).collect()
}

pub fn leftovers(file: &File) -> Vec<String> {
    let left = |line: &&str| LEFTOVERS.iter().find(|word| line.contains(**word)).copied();
    let found = file.text.lines().enumerate().filter_map(|(i, line)| Some((i + 1, left(&line)?)));
    found.map(|(number, word)| format!(":{number}: {word} was left behind")).collect()
}

pub fn odd_characters(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    // Tests feed what users may write, in whatever script.
    let last_of_code = file.code().last().map_or(0, |(number, _)| number);
    let is_test = file.is_test() || file.path.contains("/conformance/");
    let may_be_foreign = |number: usize| is_test || number > last_of_code;
    for (i, line) in file.text.lines().enumerate() {
        let number = i + 1;
        if line.contains('\t') {
            complaints.push(format!(":{number}: a tab"));
        }
        if line.ends_with(' ') {
            complaints.push(format!(":{number}: a space at the end"));
        }
        let comment = line.trim_start().starts_with("//");
        if file.is_rust() && !line.is_ascii() && (comment || !may_be_foreign(number)) {
            complaints.push(format!(":{number}: not ASCII"));
        }
    }
    if file.text.contains('\r') {
        complaints.push(": carriage returns".to_owned());
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        complaints.push(": must end with one line feed".to_owned());
    }
    complaints
}

/// `matches!(...)` as a statement computes a truth and drops it: a test that cannot fail.
pub fn vacuous_matches(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let vacuous = |start: usize, line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        line.trim_start().starts_with("matches!(")
            && (line.ends_with(");")
                || lines[start + 1..].iter().find(|l| l.starts_with(&format!("{indent})")))
                    == Some(&format!("{indent});").as_str()))
    };
    let found = lines.iter().enumerate().filter(|(i, line)| vacuous(*i, line));
    found.map(|(i, _)| format!(":{}: the result of matches! is dropped", i + 1)).collect()
}

#[test]
fn a_long_function_is_found() {
    let function = |lines: usize| {
        format!("    pub(super) async fn f(\n        x: u8,\n    ) {{\n{}    }}\n", "        x();\n".repeat(lines))
    };
    assert_eq!(long_functions(&File::new("a.rs", &function(66))), [""; 0]);
    assert_eq!(long_functions(&File::new("a.rs", &function(67))), [":1: a function of 71 lines; at most 70"]);
    let declared = format!("    fn f(&self);\n    fn g(&self) {{}}\n{}    }}\n", "        x();\n".repeat(90));
    assert_eq!(long_functions(&File::new("a.rs", &declared)), [""; 0]);
}

#[test]
fn a_long_file_and_a_long_line_are_found() {
    assert_eq!(long_file(&File::new("a.rs", &"x\n".repeat(451))), [": 451 lines; at most 450"]);
    assert_eq!(long_lines(&File::new("a.rs", &format!("{}\n", "x".repeat(121)))).len(), 1);
    assert_eq!(long_lines(&File::new("a.md", &format!("| {} |\n", "x".repeat(121)))), [""; 0]);
}

#[test]
fn what_is_left_behind_is_found() {
    for word in LEFTOVERS {
        assert_eq!(leftovers(&File::new("a.rs", &format!("    {word}\n"))).len(), 1, "{word}");
    }
}

#[test]
fn odd_characters_are_found() {
    for text in ["\tx\n", "x \n", "x\r\n", "x\u{2192}y\n", "x", "x\n\n"] {
        assert_eq!(odd_characters(&File::new("a.rs", text)).len(), 1, "{text:?}");
    }
    for (path, text) in [("a.md", "caf\u{e9}\n"), ("a/tests.rs", "f(\"caf\u{e9}\");\n")] {
        assert_eq!(odd_characters(&File::new(path, text)), [""; 0]);
    }
    assert_eq!(odd_characters(&File::new("a/tests.rs", "// caf\u{e9}\n")).len(), 1);
}

#[test]
fn a_dropped_truth_is_found() {
    let one = concat!("    matches", "!(x, Some(_));\n");
    let several = concat!("    matches", "!(\n        x,\n        Some(_)\n    );\n");
    assert_eq!(vacuous_matches(&File::new("a.rs", one)).len(), 1);
    assert_eq!(vacuous_matches(&File::new("a.rs", several)).len(), 1);
    let used = concat!("    let y = matches", "!(x, Some(_));\n    matches", "!(x, None)\n}\n");
    assert_eq!(vacuous_matches(&File::new("a.rs", used)), [""; 0]);
}
