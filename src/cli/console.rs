//! Where everything that is printed passes through.

use std::fmt::Display;
use std::io::{self, Write};

/// Standard output and standard error. A reader that has gone away, as of a pipe into `head`, is no error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl Console {
    /// An answer, on stdout, as it is.
    pub fn table(self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// An answer as JSON, on stdout.
    pub fn json(self, value: &serde_json::Value) {
        self.table(&format!("{value:#}\n"));
    }

    /// Everything that `input` yields, on stdout. Here a reader that has gone away is an error.
    ///
    /// # Errors
    /// If it cannot be read or written to its end.
    pub fn stream(self, input: &mut impl io::Read) -> io::Result<()> {
        let mut out = io::stdout().lock();
        io::copy(input, &mut out)?;
        out.flush()
    }

    /// Anything else, on stderr, as it is.
    pub fn raw(self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// A message for people, on stderr.
    pub fn say(self, message: &dyn Display) {
        self.raw(&format!("lightship: {message}\n"));
    }

    /// The same for what need not stop anybody.
    pub fn warn(self, message: &dyn Display) {
        self.raw(&format!("lightship: warning: {message}\n"));
    }
}
