//! "Did you mean": the known word nearest to a misspelt one.

/// The candidate that `word` most likely stands for, if any is near enough to be worth naming.
///
/// Case, and `_` for `-`, count for nothing; beyond that a third of the word may differ.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const WORD_LENGTH_MAX: usize = 64;
    let length = word.chars().count();
    if length > WORD_LENGTH_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('_', "-");
    let tolerance = (length / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "x"?`, or nothing.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |found| format!("; did you mean {found:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_only_if_near() {
        let keys = ["retention", "replicas", "path", "url"];
        assert_eq!(nearest("retenton", keys), Some("retention"));
        assert_eq!(nearest("Retention", keys), Some("retention"));
        assert_eq!(nearest("pth", keys), Some("path"));
        assert_eq!(nearest("ulr", keys), Some("url"));
        assert_eq!(nearest("something-else", keys), None);
        assert_eq!(nearest("v", ["o"]), None);
        assert_eq!(nearest(&"x".repeat(1000), keys), None);
        assert_eq!(nearest("force_path_style", ["force-path-style"]), Some("force-path-style"));
    }
}
