use super::*;

/// Where a misspelt key must be found.
#[derive(Debug, Clone, Copy)]
enum Home {
    TopLevel,
    Logging,
    Snapshot,
    Retention,
    Database,
    Replica,
    Age,
}

impl Home {
    const ALL: [(Self, &'static [&'static str], &'static [UnusedKey]); 7] = [
        (Self::TopLevel, RawConfig::NAMES, unused::TOP_LEVEL),
        (Self::Logging, RawLogging::NAMES, unused::LOGGING),
        (Self::Snapshot, RawSnapshot::NAMES, unused::NONE),
        (Self::Retention, RawRetention::NAMES, unused::NONE),
        (Self::Database, RawDatabase::NAMES, unused::DATABASE),
        (Self::Replica, RawReplica::NAMES, unused::REPLICA),
        (Self::Age, RawAge::NAMES, unused::NONE),
    ];

    /// A text with `key` at home here, and its line and column.
    fn text(self, key: &str) -> (String, usize, usize) {
        let line = format!("{key}: 1\n");
        match self {
            Self::TopLevel => (line, 1, 1),
            Self::Logging => (format!("logging:\n  {line}"), 2, 3),
            Self::Snapshot => (format!("snapshot:\n  {line}"), 2, 3),
            Self::Retention => (format!("retention:\n  {line}"), 2, 3),
            Self::Database => (format!("dbs:\n  - {line}"), 2, 5),
            Self::Replica => (format!("dbs:\n  - replicas:\n      - {line}"), 3, 9),
            Self::Age => (format!("dbs:\n  - replica:\n      age:\n        {line}"), 4, 9),
        }
    }
}

fn parsed(text: &str) -> Result<RawConfig, ConfigError> {
    parse("c.yml", text, &[])
}

fn error_of(text: &str) -> String {
    parsed(text).map(|_| ()).unwrap_err().to_string()
}

/// The key with a letter missing, doubled or wrong.
fn misspellings(key: &str) -> Vec<String> {
    let (last, rest) = (&key[key.len() - 1..], &key[..key.len() - 1]);
    let mut words = vec![format!("{key}{last}"), format!("{rest}q"), key.to_ascii_uppercase()];
    if key.len() > 3 {
        words.push(rest.to_owned());
    }
    words
}

#[test]
fn every_misspelt_key_is_an_error_with_its_place_and_the_right_word() {
    let all_keys: Vec<&str> = Home::ALL.iter().flat_map(|(_, keys, _)| keys.iter().copied()).collect();
    for (home, keys, unused) in Home::ALL {
        let known: Vec<&str> = keys.iter().copied().chain(unused.iter().map(|key| key.key)).collect();
        for key in &known {
            for word in misspellings(key) {
                if known.contains(&word.as_str()) || all_keys.contains(&word.as_str()) {
                    continue;
                }
                let (text, line, column) = home.text(&word);
                let error = error_of(&text);
                assert!(error.starts_with(&format!("c.yml:{line}:{column}: ")), "{home:?} {word}: {error}");
                assert!(error.contains(&format!("unknown key {word:?}")), "{home:?} {word}: {error}");
                assert!(error.contains("did you mean "), "{home:?} {word}: {error}");
                let by_suggestion = known.iter().any(|k| error.ends_with(&format!("did you mean {k:?}?")));
                assert!(by_suggestion, "{home:?} {word}: {error}");
            }
        }
    }
}

#[test]
fn every_repeated_key_is_an_error_with_its_line() {
    for (home, keys, unused) in Home::ALL {
        for key in keys.iter().copied().chain(unused.iter().map(|key| key.key)) {
            let (text, line, column) = home.text(key);
            let nothing = text.replace(": 1\n", ":\n");
            let text = format!("{nothing}{}{key}:\n", " ".repeat(column - 1));
            let expected = format!("c.yml:{}:{column}: ", line + 1);
            let error = error_of(&text);
            assert!(error.starts_with(&expected), "{text}{error}");
            assert!(error.ends_with(&format!("key {key:?} is given twice")), "{text}{error}");
        }
    }
}

#[test]
fn every_key_is_accepted_at_home_and_may_be_empty() {
    for (home, keys, unused) in Home::ALL {
        for key in keys.iter().copied().chain(unused.iter().map(|key| key.key)) {
            let text = home.text(key).0.replace(": 1\n", ":\n");
            assert!(parsed(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn errors_say_what_and_where() {
    let cases = [
        (
            "dbs:\n  - path: a\n    replicas:\n      - retenton: 1h\n",
            "c.yml:4:9: dbs[0].replicas[0]: unknown key \"retenton\"; did you mean \"retention\"?",
        ),
        (
            "dbs:\n  - path: a\n    retention: 1h\n",
            "c.yml:3:5: dbs[0]: unknown key \"retention\"; it belongs to the top level or a replica or snapshot, \
             not to a database",
        ),
        ("path: a\n", "c.yml:1:1: unknown key \"path\"; it belongs to a database or a replica, not to the top level"),
        ("access-key-id:AKIAX: y\n", "c.yml:1:1: unknown key \"access-key-id\"; write a space after the colon"),
        ("dbs: 5\n", "c.yml:1:6: dbs: expected a list (each item after `- `), found a number"),
        ("dbs: {path: a}\n", "c.yml:1:6: dbs: expected a list (each item after `- `), found a mapping"),
        ("dbs:\n  -\n", "c.yml:2:4: dbs[0]: expected `key: value` lines, found nothing"),
        (
            "dbs:\n  - path: a\n    replicas: [~]\n",
            "c.yml:3:16: dbs[0].replicas[0]: expected `key: value` lines, found nothing",
        ),
        ("dbs: [a]\n", "c.yml:1:7: dbs[0]: expected `key: value` lines, found a text"),
        ("[a]\n", "c.yml:1:1: expected `key: value` lines, found a list"),
        ("logging:\n  stderr: maybe\n", "c.yml:2:11: logging.stderr: expected true or false"),
        (
            "dbs:\n  - monitor-interval: 5\n",
            "c.yml:2:23: dbs[0].monitor-interval: 5 has no unit; a bare number means nanoseconds in Litestream; \
             write 5s for seconds",
        ),
        (
            "dbs:\n  - monitor-interval: fast\n",
            "c.yml:2:23: dbs[0].monitor-interval: \"fast\" is not a duration; write a number with a unit, \
             such as 500ms, 10s, 5m, 1h30m or 7d",
        ),
        (
            "dbs:\n  - min-checkpoint-page-count: many\n",
            "c.yml:2:32: dbs[0].min-checkpoint-page-count: expected a whole number, found a text",
        ),
        ("addr: a\n---\naddr: b\n", "c.yml: more than one YAML document; remove the lines `---`"),
    ];
    for (text, message) in cases {
        assert_eq!(error_of(text), message);
    }
    for (text, line) in
        [("addr: b: c\n", 1), ("addr: \"b\n", 2), ("addr: *x\n", 1), ("\tdbs: a\n", 1), ("dbs:\n - {}\n- {}\n", 3)]
    {
        let error = error_of(text);
        assert!(error.starts_with(&format!("c.yml:{line}:")), "{error}");
    }
}

#[test]
fn an_empty_text_is_an_empty_configuration() {
    for text in ["", "\n", "# nothing\n", "---\n", "~\n", "{}\n"] {
        assert!(parsed(text).is_ok_and(|raw| raw.dbs.is_none()), "{text:?}");
    }
}

#[test]
fn booleans_are_those_of_yaml_1_1() {
    for (word, on) in [("yes", true), ("On", true), ("TRUE", true), ("y", true), ("no", false), ("OFF", false)] {
        let raw = parsed(&format!("skip-verify: {word}\n")).unwrap();
        assert_eq!(raw.skip_verify, Some(Switch(on)), "{word}");
    }
}

#[test]
fn scalars_of_other_kinds_are_texts_where_texts_belong() {
    let raw = parsed("region: 12\nexec: true\naddr: 1.50\n").unwrap();
    assert_eq!((raw.region, raw.exec, raw.addr), (Some("12".into()), Some("true".into()), Some("1.50".into())));
}

#[test]
fn anchors_merge_keys_and_extensions_work() {
    let text = "x-s3: &s3\n  type: s3\n  bucket: b\n  region: r\nx-more: &more\n  region: q\n  name: n\ndbs:\n\
                - path: a\n  replicas:\n  - <<: *s3\n    region: z\n  - <<: [*s3, *more]\n";
    let raw = parsed(text).unwrap();
    let replicas = raw.dbs.unwrap().0.remove(0).replicas.unwrap().0;
    assert_eq!(replicas[0].region.as_deref(), Some("z"));
    assert_eq!(replicas[0].bucket.as_deref(), Some("b"));
    assert_eq!(replicas[1].region.as_deref(), Some("r"));
    assert_eq!(replicas[1].name.as_deref(), Some("n"));
}

#[test]
fn secrets_stay_secret() {
    let texts = [
        "secret-access-key: hunter2\nfoo: 1\n",
        "secret-access-key: [hunter2]\n",
        "secret-access-key: {hunter2: 1}\n",
        "secret-access-key:hunter2: 1\n",
        "secret-access-key:hunter2\n",
        "{secret-access-key:hunter2}\n",
        "dbs:\n  - replica:\n      age: hunter2\n",
        "dbs:\n  - replica:\n      age:\n        identities: hunter2\n",
        "dbs:\n  - replica:\n      age:\n        identities: [[hunter2]]\n",
        "dbs:\n  - replica: hunter2\n",
        "dbs:\n  - replica:\n      password: !hunter2 [x]\n",
        "logging: hunter2\n",
        "hunter2\n",
    ];
    for text in texts {
        assert!(!error_of(text).contains("hunter2"), "{}", error_of(text));
    }
    let raw = parsed("secret-access-key: hunter2\n").unwrap();
    assert!(!format!("{raw:?}").contains("hunter2"));
    let raw = parsed("dbs: [{replica: {url: 'sftp://u:hunter2@h', password: hunter2, age: {identities: [hunter2]}}}]");
    assert!(!format!("{:?}", raw.unwrap()).contains("hunter2"));
}

#[test]
fn deep_and_repetitive_texts_are_refused() {
    assert!(parsed(&"[".repeat(10_000)).is_err());
    let bomb = "x-a: &a [x,x,x,x,x,x,x,x,x]\nx-b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nx-c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                x-d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\nx-e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nx-f: [*e,*e,*e,*e,*e,*e]\n";
    let _ = parsed(bomb);
}
