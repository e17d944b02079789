//! Seeds of the simulation that have found something, and what the documentation says of them.

use std::collections::BTreeSet;

/// The numbers in `text`.
fn numbers(text: &str) -> BTreeSet<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// What stands between `from` and `to` in `text`.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_default();
    rest.split_once(to).unwrap_or_default().0
}

/// Seeds that `document` names and `simulation` does not run each time, and those that it runs for what they have
/// found, of which the document does not say what that was.
pub fn untold(document: &str, simulation: &str) -> Vec<String> {
    let (first, found) = (between(simulation, "const SEEDS: u64 =", ";"), between(simulation, "const FOUND", "];"));
    let (first, found) = (numbers(first), numbers(between(&format!("{found}]"), "= [", "]")));
    let told = between(document, "\nWhat it found in the program", "\n## ");
    let named: BTreeSet<u64> = told.split("(seed").skip(1).flat_map(|rest| numbers(between(rest, "", ")"))).collect();
    let is_run = |seed: &u64| found.contains(seed) || first.first().is_some_and(|first| seed <= first);
    let never = named.iter().filter(|seed| !is_run(seed)).map(|seed| format!("seed {seed} is named, and not run"));
    let all = numbers(told);
    let silent = found.iter().filter(|seed| !all.contains(seed)).map(|seed| format!("what has seed {seed} found?"));
    let nothing = found.is_empty().then(|| "no seed has found anything".to_owned());
    never.chain(silent).chain(nothing).collect()
}

#[test]
fn a_seed_that_is_named_and_not_run_is_found_and_one_of_which_nothing_is_said() {
    let simulation = "const SEEDS: u64 = 30;\nconst FOUND: [u64; 2] = [\n    80, 4711,\n];\n";
    let document = |text: &str| format!("\nWhat it found in the program:\n{text}\n## Next\n");
    let sound = "| it was lost | `a_test` (seeds 22, 80 and 4711) |";
    assert_eq!(untold(&document(sound), simulation), [""; 0]);
    assert_eq!(untold(&document(&sound.replace("22", "44")), simulation), ["seed 44 is named, and not run"]);
    assert_eq!(untold(&document(&sound.replace("80 and", "")), simulation), ["what has seed 80 found?"]);
    assert_eq!(untold(&document(sound), "").len(), 4);
}
