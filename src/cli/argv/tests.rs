use proptest::prelude::*;

use super::*;

fn flags() -> Vec<Flag> {
    let flag = |name: &str, takes_value| Flag { name: name.to_owned(), takes_value, repeats: false };
    vec![flag("o", true), flag("config", true), flag("json", false)]
}

fn canonical(words: &[&str]) -> Result<Vec<String>, ArgvError> {
    let arguments = take_apart(words.iter().map(OsString::from), &flags())?;
    Ok(arguments.canonical().into_iter().map(|word| word.into_string().unwrap()).collect())
}

#[test]
fn flags_are_read_as_go_reads_them() {
    let cases: [(&[&str], &[&str]); 18] = [
        (&[], &["--"]),
        (&["a", "b"], &["--", "a", "b"]),
        (&["-o", "x"], &["--o=x", "--"]),
        (&["--o", "x"], &["--o=x", "--"]),
        (&["-o=x"], &["--o=x", "--"]),
        (&["--o=x=y"], &["--o=x=y", "--"]),
        (&["-o="], &["--o=", "--"]),
        (&["-o", "-x"], &["--o=-x", "--"]),
        (&["-o", "--"], &["--o=--", "--"]),
        (&["-o", "a", "-o", "b"], &["--o=b", "--"]),
        (&["a", "-o", "x", "b"], &["--o=x", "--", "a", "b"]),
        (&["-json", "a"], &["--json", "--", "a"]),
        (&["-json=true"], &["--json", "--"]),
        (&["-json=F"], &["--"]),
        (&["-json", "-json=false"], &["--"]),
        (&["-json=0", "-json=1"], &["--json", "--"]),
        (&["-"], &["--", "-"]),
        (&["-json", "--", "-o", "--", "-x"], &["--json", "--", "-o", "--", "-x"]),
    ];
    for (words, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(canonical(words), Ok(expected), "{words:?}");
    }
}

#[test]
fn bad_flags_are_refused_in_the_words_of_go() {
    let cases: [(&[&str], &str); 8] = [
        (&["-x"], "flag provided but not defined: -x"),
        (&["--x=1"], "flag provided but not defined: -x"),
        (&["-1"], "flag provided but not defined: -1"),
        (&["a", "-config"], "flag needs an argument: -config"),
        (&["-json=maybe"], "invalid boolean value \"maybe\" for -json: parse error"),
        (&["-json="], "invalid boolean value \"\" for -json: parse error"),
        (&["-=x"], "bad flag syntax: -=x"),
        (&["---o"], "bad flag syntax: ---o"),
    ];
    for (words, message) in cases {
        assert_eq!(canonical(words).map_err(|e| e.to_string()), Err(message.to_owned()), "{words:?}");
    }
}

#[test]
fn help_is_noticed_among_flags_only() {
    for word in ["-h", "-help", "--help", "--h"] {
        assert!(take_apart([OsString::from(word)], &flags()).unwrap().help, "{word}");
    }
    assert!(!take_apart(["-o", "-h"].map(OsString::from), &flags()).unwrap().help);
    assert!(!take_apart(["--", "-h"].map(OsString::from), &flags()).unwrap().help);
}

proptest! {
    #[test]
    fn nothing_panics(words in proptest::collection::vec("-{0,3}(o|json|config|h|=|.)*", 0..6)) {
        let _ = take_apart(words.into_iter().map(OsString::from), &flags());
    }

    #[test]
    fn the_canonical_form_is_stable(words in proptest::collection::vec("-{0,2}(o|json|a)(=true|=x|)", 0..6)) {
        if let Ok(once) = take_apart(words.into_iter().map(OsString::from), &flags()) {
            let again = take_apart(once.clone().canonical(), &flags()).unwrap();
            prop_assert_eq!(Arguments { help: again.help, ..once }, again);
        }
    }
}
