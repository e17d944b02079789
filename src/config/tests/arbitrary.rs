use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "(?s)(.|\n|: |- |\\$\\{?)*") {
        let _ = read(&text);
    }

    #[test]
    fn no_value_makes_the_loader_panic(
        place in 0..5usize,
        key in proptest::sample::select(
            [raw::RawConfig::NAMES, raw::RawDatabase::NAMES, raw::RawReplica::NAMES, raw::RawLogging::NAMES].concat()),
        value in "-?[0-9]{0,22}(ms|s|h|d)?|[a-z0-9]*://[^\n]*|(yes|no|~|\\{\\}|\\[\\]|\\*a|&a|!!int|<<|'')|[^\n]*",
    ) {
        let line = format!("{key}: {value}\n");
        let text = match place {
            0 => line,
            1 => format!("dbs:\n  - path: a\n    {line}"),
            2 => format!("logging:\n  {line}"),
            3 => with_replica(&format!("path: a\n{line}")),
            _ => with_replica(&line),
        };
        let _ = read(&text);
    }
}
