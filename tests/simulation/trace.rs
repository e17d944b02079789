//! What happened, step by step: what a failure shows, and what is compared when a seed is run twice.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use lightship::types::Clock;

use super::time::WallClock;

/// So many steps are shown of a seed that fails.
const SHOWN: usize = 150;

#[derive(Debug, Clone)]
pub struct Trace {
    clock: WallClock,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub fn new(clock: &WallClock) -> Self {
        Self { clock: clock.clone(), lines: Arc::default() }
    }

    pub fn add(&self, who: &str, what: impl Display) {
        let text = self.clock.now().to_string();
        let (time, nanos) = (text.get(5..23).unwrap_or(&text), self.clock.nanos());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{time}.{nanos:06} {who:<10} {what}"));
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last steps.
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let all = std::env::var_os("LIGHTSHIP_TRACE").is_some();
        let from = if all { 0 } else { lines.len().saturating_sub(SHOWN) };
        lines[from..].join("\n")
    }
}
