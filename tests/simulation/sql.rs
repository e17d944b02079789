//! Statements by the seed. Whatever they say, what counts are the pages that they leave.

use std::fmt::Write;

use fastrand::Rng;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};

/// A database of more pages is emptied rather than filled.
pub const PAGES_MAX: u32 = 160;
const TABLES: u32 = 3;

/// The first transaction of a database.
pub fn first(random: &mut Rng) -> String {
    format!("BEGIN; CREATE TABLE IF NOT EXISTS t0 (id INTEGER PRIMARY KEY, a, b); {}; COMMIT", insert(random, 0))
}

/// One transaction: some changes, of which some may be taken back.
pub fn transaction(random: &mut Rng, pages: u32) -> String {
    let mut text = "BEGIN IMMEDIATE;".to_owned();
    for _ in 0..random.u32(1..6) {
        let is_nested = random.u32(0..5) == 0;
        if is_nested {
            text.push_str("SAVEPOINT s;");
        }
        text.push_str(&change(random, pages));
        if is_nested {
            let back = random.bool();
            text.push_str(if back { ";ROLLBACK TO s;RELEASE s" } else { ";RELEASE s" });
        }
        text.push(';');
    }
    text.push_str(if random.u32(0..8) == 0 { "ROLLBACK" } else { "COMMIT" });
    text
}

/// A change to the rows of a table, within a transaction.
pub fn change(random: &mut Rng, pages: u32) -> String {
    let table = random.u32(0..TABLES);
    let create = format!("CREATE TABLE IF NOT EXISTS t{table} (id INTEGER PRIMARY KEY, a, b);");
    let change = match random.u32(0..10) {
        _ if pages > PAGES_MAX => format!("DELETE FROM t{table} WHERE id % {} < 2", random.u32(2..4)),
        0..5 => insert(random, table),
        5..8 => {
            let (part, rest) = (random.u32(1..40), random.u32(0..4));
            format!("UPDATE t{table} SET a = {}, b = b || 'x' WHERE id % {part} = {rest}", random.u32(0..1000))
        }
        _ => format!("DELETE FROM t{table} WHERE id % {} = 0", random.u32(2..20)),
    };
    create + &change
}

/// One transaction that writes a row of some 300 KB: a long chain of pages, and more of them than the cache may hold.
pub fn large(random: &mut Rng) -> String {
    let (table, length) = (random.u32(0..TABLES), random.usize(200_000..400_000));
    let content: String = std::iter::repeat_with(|| random.lowercase()).take(16).collect();
    let repeated = format!("substr(replace(hex(zeroblob({})), '00', '{content}'), 1, {length})", length / 16 + 1);
    let end = if random.u32(0..4) == 0 { "ROLLBACK" } else { "COMMIT" };
    format!(
        "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS t{table} (id INTEGER PRIMARY KEY, a, b);
         INSERT INTO t{table} (a, b) VALUES ({length}, {repeated}); {end}"
    )
}

/// Runs each of `statements` until it has no row left: `execute_batch` asks each for one only, and an incremental
/// vacuum frees a page for each.
pub fn run_to_the_end(connection: &Connection, statements: &str) -> rusqlite::Result<()> {
    let mut batch = Batch::new(connection, statements);
    while let Some(mut statement) = batch.next()? {
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// A change to the schema.
pub fn shape(random: &mut Rng) -> String {
    let table = random.u32(0..TABLES);
    match random.u32(0..5) {
        0 => format!("CREATE INDEX IF NOT EXISTS i{table} ON t{table} (a, id)"),
        1 => format!("DROP INDEX IF EXISTS i{table}"),
        2 => format!("DROP TABLE IF EXISTS t{table}"),
        3 => format!("REINDEX i{table}"),
        _ => format!("PRAGMA user_version = {}", random.u32(0..1000)),
    }
}

fn insert(random: &mut Rng, table: u32) -> String {
    let (rows, longest) = if random.u32(0..12) == 0 { (2, 20_000) } else { (8, 300) };
    let mut text = format!("INSERT INTO t{table} (a, b) VALUES ");
    for row in 0..random.u32(1..=rows) {
        let length = random.usize(0..longest);
        let content: String = std::iter::repeat_with(|| random.lowercase()).take(16).collect();
        let separator = if row == 0 { "" } else { "," };
        let a = random.u32(0..1000);
        // Not the same content again and again, but cheap to make.
        let _ =
            write!(text, "{separator}({a}, substr(replace(hex(zeroblob({length})), '00', '{content}'), 1, {length}))");
    }
    text
}

#[test]
fn an_incremental_vacuum_frees_as_many_pages_as_it_is_told_to() {
    let connection = Connection::open_in_memory().unwrap();
    let filled = format!("PRAGMA auto_vacuum = 2; {}; DELETE FROM t0", first(&mut Rng::with_seed(1)));
    let large = "INSERT INTO t0 (b) VALUES (zeroblob(100000)); DELETE FROM t0";
    let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, u32>(0)).unwrap();
    connection.execute_batch(&format!("{filled}; {large}")).unwrap();
    let before = free();
    run_to_the_end(&connection, "PRAGMA incremental_vacuum(5)").unwrap();
    assert_eq!(free(), before - 5);
}
