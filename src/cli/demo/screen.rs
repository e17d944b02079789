//! What the demo prints: a few lines of text, in columns, the same on a terminal and in a file.

use std::fmt::Display;
use std::time::Instant;

use crate::cli::console::Console;

/// Prints what happens, with the time since the beginning.
#[derive(Debug)]
pub struct Screen {
    console: Console,
    begun: Instant,
}

impl Screen {
    /// Time runs from here.
    pub fn new(console: Console) -> Self {
        Self { console, begun: Instant::now() }
    }

    /// A line on its own.
    pub fn say(&self, text: &str) {
        self.console.table(&format!("{text}\n"));
    }

    /// A fact with its name before it.
    pub fn fact(&self, name: &str, value: &dyn Display) {
        self.say(&format!("  {name:<11} {value}"));
    }

    /// Something that happens now.
    pub fn event(&self, text: &str) {
        self.say(&format!("  {}  {text}", self.clock()));
    }

    /// What the numbers of [`Screen::numbers`] are.
    pub fn heading(&self) {
        self.say("    time   commits  in the replica  missing   lag: median      worst");
    }

    /// How many commits were made and have arrived, and how long those took that arrived since the last line.
    pub fn numbers(&self, made: usize, arrived: usize, mut lags_us: Vec<u64>) {
        lags_us.sort_unstable();
        let ms = |us: Option<&u64>| us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", *us as f64 / 1000.0));
        let (median, worst) = (ms(lags_us.get(lags_us.len() / 2)), ms(lags_us.last()));
        let missing = made.saturating_sub(arrived);
        self.say(&format!("  {}  {made:>8}  {arrived:>14}  {missing:>7}  {median:>12}  {worst:>9}", self.clock()));
    }

    fn clock(&self) -> String {
        format!("{:>5.1}s", self.begun.elapsed().as_secs_f64())
    }
}
