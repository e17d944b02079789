//! `migrate`: how to change over from Litestream, and back.

use super::console::Console;

/// Prints the page of the documentation.
pub fn run(console: &Console) {
    console.table(include_str!("../../docs/migrate.md"));
}
