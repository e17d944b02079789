//! How a restore shows that it gets on.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::console::Console;
use crate::restore::Progress;

const BAR: &str = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// A bar, if there is a terminal to draw it on.
pub struct Terminal {
    console: Console,
    bar: ProgressBar,
}

impl Terminal {
    /// A bar that is drawn on a terminal, if one is `wanted`.
    pub fn new(console: Console, wanted: bool) -> Self {
        let shown = wanted && std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Self { console, bar }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Terminal {
    fn begin(&self, stored_bytes: u64) {
        self.bar.reset();
        self.bar.set_length(stored_bytes);
    }

    fn advance(&self, stored_bytes: u64) {
        self.bar.inc(stored_bytes);
    }

    fn warn(&self, message: &str) {
        self.bar.suspend(|| self.console.warn(&message));
    }
}
