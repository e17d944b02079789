use proptest::prelude::*;

use super::*;
use crate::types::{Generation, Index, Position, Timestamp};

fn parsed(line: &str) -> Result<Command, Exit> {
    parse(std::iter::once("lightship").chain(line.split_whitespace()).map(OsString::from))
}

fn no_config() -> ConfigSource {
    ConfigSource { path: None, expand_env: true }
}

fn database(path: &str) -> Source {
    Source::Database { path: path.into(), config: no_config() }
}

fn restore(source: Source) -> Restore {
    Restore {
        source: RestoreSource::One(source),
        replica: None,
        generation: None,
        until: Until::Latest,
        output: RestoreOutput::Place,
        if_db_not_exists: false,
        if_replica_exists: false,
        parallelism: 8,
        dry_run: false,
        progress: true,
    }
}

#[test]
fn commands_are_understood() {
    let config = ConfigSource { path: Some("a.yml".into()), expand_env: false };
    let url = || Source::Url("file://rep".to_owned());
    let file = || Some("file".to_owned());
    let cases = [
        ("databases", Command::Databases(Databases { config: no_config(), json: false })),
        (
            "databases -config a.yml -no-expand-env --json",
            Command::Databases(Databases { config: config.clone(), json: true }),
        ),
        (
            "generations app.db",
            Command::Generations(Generations { source: database("app.db"), replica: None, json: false }),
        ),
        (
            "generations file://rep -replica file",
            Command::Generations(Generations { source: url(), replica: file(), json: false }),
        ),
        (
            "snapshots -json app.db",
            Command::Snapshots(Snapshots { source: database("app.db"), replica: None, json: true }),
        ),
        (
            "wal -generation 98a668427ff80fee app.db",
            Command::Wal(Wal {
                source: database("app.db"),
                replica: None,
                generation: Some(Generation(0x98a6_6842_7ff8_0fee)),
                json: false,
            }),
        ),
        ("migrate", Command::Migrate),
        ("version", Command::Version),
        ("--version", Command::Version),
        ("demo", Command::Demo(Demo { write: None })),
        ("replicate", Command::Replicate(Replicate { source: ReplicateSource::Config(no_config()), exec: None })),
        (
            "replicate -no-expand-env -config=a.yml -exec sleep",
            Command::Replicate(Replicate { source: ReplicateSource::Config(config), exec: Some("sleep".to_owned()) }),
        ),
        (
            "replicate a.db file://x s3://y -exec -x",
            Command::Replicate(Replicate {
                source: ReplicateSource::Urls {
                    database: "a.db".into(),
                    urls: vec!["file://x".to_owned(), "s3://y".to_owned()],
                },
                exec: Some("-x".to_owned()),
            }),
        ),
    ];
    for (line, command) in cases {
        assert_eq!(parsed(line), Ok(command), "{line}");
    }
}

#[test]
fn restore_is_understood() {
    let url = || Source::Url("file://rep".to_owned());
    let all = |folder: Option<&str>| RestoreSource::All { config: no_config(), folder: folder.map(Into::into) };
    let generation = Generation(0x0123_4567_89ab_cdef);
    let position = Position { generation, index: Index::new(0x1a).unwrap(), offset: crate::types::Offset(4152) };
    let cases = [
        ("restore app.db", restore(database("app.db"))),
        ("restore file://rep -o out", Restore { output: RestoreOutput::Path("out".into()), ..restore(url()) }),
        ("restore -o -out file://rep", Restore { output: RestoreOutput::Path("-out".into()), ..restore(url()) }),
        ("restore file://rep -to-stdout", Restore { output: RestoreOutput::Stdout, ..restore(url()) }),
        ("restore -all", Restore { source: all(None), ..restore(url()) }),
        (
            "restore -all /srv -o out -point p",
            Restore {
                source: all(Some("/srv")),
                output: RestoreOutput::Path("out".into()),
                until: Until::Point("p".to_owned()),
                ..restore(url())
            },
        ),
        (
            "restore -position 0123456789abcdef/0000001a:4152 a",
            Restore { until: Until::Position(position), ..restore(database("a")) },
        ),
        (
            "restore -if-db-not-exists -if-replica-exists -dry-run -no-progress a",
            Restore {
                if_db_not_exists: true,
                if_replica_exists: true,
                dry_run: true,
                progress: false,
                ..restore(database("a"))
            },
        ),
        (
            "restore -if-db-not-exists=false -parallelism 0 a -index= -timestamp=",
            Restore { parallelism: 1, ..restore(database("a")) },
        ),
        (
            "restore -index 0000001f a -parallelism=3",
            Restore { until: Until::Index(Index::new(31).unwrap()), parallelism: 3, ..restore(database("a")) },
        ),
        (
            "restore -timestamp 1970-01-01T01:00:00.0019+01:00 a",
            Restore { until: Until::Timestamp(Timestamp(1)), ..restore(database("a")) },
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(parsed(line), Ok(Command::Restore(expected)), "{line}");
    }
}

#[test]
fn errors_are_in_the_words_of_litestream() {
    let timestamp = "invalid -timestamp, must specify in ISO 8601\u{a0}format (e.g. 2000-01-01T00:00:00Z)";
    let cases = [
        ("databases x", "too many arguments"),
        ("version x", "too many arguments"),
        ("generations", "database path or replica URL required"),
        ("generations a b", "too many arguments"),
        ("snapshots", "database path required"),
        ("snapshots a b", "too many arguments"),
        ("wal", "database path required"),
        ("restore", "database path or replica URL required"),
        ("restore a b", "too many arguments"),
        ("restore file://rep", "output path required; name it with -o"),
        ("restore a -index 1 -timestamp 2000-01-01T00:00:00Z", "cannot specify index & timestamp to restore"),
        ("restore a -point p -timestamp 2000-01-01T00:00:00Z", "cannot specify timestamp & point to restore"),
        ("restore a -point p -generation 98a668427ff80fee", "cannot specify generation & point to restore"),
        ("restore a -position 1/2:3 -index 1", "cannot specify index & position to restore"),
        ("restore -all -index 1", "with -all, a state is chosen with -timestamp or -point"),
        ("restore -all a b", "too many arguments"),
        ("restore -all -to-stdout", "-to-stdout does not go with -all"),
        ("restore a -to-stdout -o b", "-to-stdout does not go with -o"),
        (
            "restore a -position 1/2:3",
            "invalid value for flag -position: \"1/2:3\" is no position; write GENERATION/INDEX:OFFSET, such as \
             0123456789abcdef/0000001a:4152",
        ),
        ("restore a -index zz", "invalid value \"zz\" for flag -index: invalid hexadecimal format"),
        ("restore a -index 0x1", "invalid value \"0x1\" for flag -index: invalid hexadecimal format"),
        ("restore a -index -1", "invalid value \"-1\" for flag -index: invalid hexadecimal format"),
        ("restore a -index 80000000", "invalid value \"80000000\" for flag -index: invalid hexadecimal format"),
        ("restore a -timestamp 2000-01-01", timestamp),
        ("restore a -timestamp yesterday", timestamp),
        ("restore a -parallelism x", "invalid value \"x\" for flag -parallelism: parse error"),
        ("restore file://rep -o x -config c", "cannot specify a replica URL and the -config flag"),
        ("generations file://rep -config c", "cannot specify a replica URL and the -config flag"),
        ("replicate a.db file://x -config c", "cannot specify a replica URL and the -config flag"),
        ("replicate a.db", "must specify at least one replica URL for a.db"),
        ("restore -v a", "flag provided but not defined: -v"),
        ("restore -confg x a", "flag provided but not defined: -confg; did you mean -config?"),
        ("restore a -o", "flag needs an argument: -o"),
        ("databases -replica x", "flag provided but not defined: -replica"),
        ("databases -json=maybe", "invalid boolean value \"maybe\" for -json: parse error"),
        (
            "wal -generation zz a",
            "invalid value for flag -generation: \"zz\" is not a generation: expected 16 lower-case hex digits, \
             such as 98a668427ff80fee",
        ),
    ];
    for (line, message) in cases {
        let command = line.split_whitespace().next().unwrap();
        let stderr = format!("{message}\nRun 'lightship {command} -h' for usage.\n");
        assert_eq!(parsed(line), Err(Exit { code: 1, stdout: String::new(), stderr }), "{line}");
    }
}

#[test]
fn unknown_commands_are_named() {
    let exit = |stderr: &str| Err(Exit { code: 1, stdout: String::new(), stderr: stderr.to_owned() });
    assert_eq!(parsed("foo"), exit("lightship foo: unknown command\n"));
    assert_eq!(parsed("restor"), exit("lightship restor: unknown command; did you mean \"restore\"?\n"));
    assert_eq!(parse(["/usr/bin/litestream", "foo"].map(OsString::from)), exit("litestream foo: unknown command\n"));
}

#[test]
fn help_succeeds_and_no_command_does_not() {
    for line in ["-h", "-help", "--help", "help"] {
        let exit = parsed(line).unwrap_err();
        assert_eq!((exit.code, exit.stderr.as_str()), (0, ""), "{line}");
        for command in flags::COMMANDS {
            assert!(exit.stdout.contains(command), "{line}: {command}");
        }
    }
    assert_eq!(parsed("").map_err(|exit| exit.code), Err(1));
    assert_eq!(parsed("-x").map_err(|exit| exit.code), Err(1));
    assert_eq!(parsed("help foo").map_err(|exit| exit.code), Err(1));
    for command in flags::COMMANDS {
        let [flag, word] = [format!("{command} -h"), format!("help {command}")].map(|line| parsed(&line).unwrap_err());
        assert_eq!(flag, word);
        assert_eq!(flag.code, 0);
        // The demo's own flag is hidden: it is not for people.
        for known in flags::of_command(command).unwrap().into_iter().filter(|_| command != "demo") {
            assert!(flag.stdout.contains(&format!("      -{} ", known.name)), "{command}: {}", known.name);
        }
    }
}

#[test]
fn timestamps_are_rfc_3339() {
    let cases = [
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        ("2000-01-01t00:00:00z", 946_684_800_000),
        ("2000-01-01T00:00:00.5Z", 946_684_800_500),
        ("2000-01-01T00:00:00.123999999Z", 946_684_800_123),
        ("2000-01-01T02:00:00+02:00", 946_684_800_000),
        ("1999-12-31T19:00:00-05:00", 946_684_800_000),
        ("1969-12-31T00:00:00Z", 0),
    ];
    for (text, milliseconds) in cases {
        assert_eq!(value::timestamp(text), Ok(Timestamp(milliseconds)), "{text}");
    }
    for text in [
        "",
        "2000-01-01 00:00:00Z",
        "2000-01-01T00:00:00",
        "2000-01-01T00:00Z",
        "2000-13-01T00:00:00Z",
        "2000-01-01T25:00:00Z",
        "2000-01-01T00:00:00.Z",
        "2000-01-01T00:00:00+0200",
        "2000-01-01T00:00:00Z[UTC]",
        "+2000-01-01T00:00:00Z",
    ] {
        assert!(value::timestamp(text).is_err(), "{text}");
    }
}

#[test]
fn the_description_for_clap_is_sound() {
    for command in flags::COMMANDS {
        assert!(flags::of_command(command).is_some(), "{command}");
    }
    assert_eq!(flags::of_command("restore").unwrap().len(), 17);
}

proptest! {
    #[test]
    fn nothing_panics(words in proptest::collection::vec("(restore|replicate|wal|help)|-{0,2}[a-z=-]*|.*", 0..6)) {
        let _ = parse(std::iter::once("x".to_owned()).chain(words).map(OsString::from));
    }

    #[test]
    fn no_timestamp_panics(
        text in "[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\\.[0-9]*)?(Z|[-+][0-9]{2}:[0-9]{2})|.*"
    ) {
        let _ = value::timestamp(&text);
    }
}

#[test]
fn the_documentation_names_every_flag_and_no_other() {
    let document = include_str!("../../../docs/configuration.md");
    let documented = |name: &str| {
        document.lines().find(|l| l.starts_with(&format!("| `-{name}")) && !l[name.len() + 4..].starts_with('-'))
    };
    let mut names = std::collections::BTreeSet::new();
    for command in flags::COMMANDS {
        // The demo's own flag is hidden: it is not for people.
        for flag in flags::of_command(command).unwrap().into_iter().filter(|_| command != "demo") {
            let row = documented(&flag.name).unwrap_or_else(|| panic!("-{} of {command} is not there", flag.name));
            let told = row.contains(command) || row.contains("all but");
            assert!(told, "{row} does not say that {command} has it");
            assert_eq!(row.split('`').nth(1).unwrap().contains(' '), flag.takes_value, "{row}");
            names.insert(flag.name);
        }
    }
    assert_eq!(document.lines().filter(|line| line.starts_with("| `-")).count(), names.len());
}
