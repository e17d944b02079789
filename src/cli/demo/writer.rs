//! The demo's application: a process of its own that writes to the database, and says when each commit was made.
//!
//! It says "ready", waits for a line, and then prints the time of each commit (microseconds since 1970) until its
//! standard input ends, which it also does if the demo dies.

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{DemoError, now_us};
use crate::cli::console::Console;
use crate::sqlite::sample::Shop;

/// What it says when the database is there.
pub const READY: &str = "ready";
const BETWEEN_COMMITS: Duration = Duration::from_millis(10);

/// Writes to a new database at `path`.
pub fn run(path: &Path, console: &Console) -> Result<(), DemoError> {
    let mut shop = Shop::create(path)?;
    console.table(&format!("{READY}\n"));
    let mut line = String::new();
    let begun = io::stdin().lock().read_line(&mut line).map_err(DemoError::io("wait for the demo"))?;
    let ended = Arc::new(AtomicBool::new(begun == 0));
    let end = Arc::clone(&ended);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        end.store(true, Ordering::Relaxed);
    });
    let mut due = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        shop.take_order()?;
        console.table(&format!("{}\n", now_us()));
        due += BETWEEN_COMMITS;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
