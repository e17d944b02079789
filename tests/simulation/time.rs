//! The world's time: the runtime's own, which stands still unless everybody waits, and a wall clock that may be set.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use lightship::types::{Clock, Timestamp};

/// 2026-01-01, in milliseconds.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// The wall clock of a world. Replicators come and go, each with a runtime of its own; the clock goes on.
#[derive(Debug, Clone)]
pub struct WallClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What it said when the runtime at hand began.
    base: Duration,
    /// For how long the machine had been up then.
    up: Duration,
    began: Option<tokio::time::Instant>,
    /// The most that it has ever said.
    latest: Duration,
}

impl WallClock {
    pub fn new() -> Self {
        let base = Duration::from_millis(BEGIN_MS);
        Self(Arc::new(Mutex::new(State { base, up: Duration::ZERO, began: None, latest: base })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says while nobody has entered.
    pub fn reading(&self) -> Duration {
        self.lock().now()
    }

    /// While nobody has entered: from now on it goes on from there.
    pub fn set(&self, reading: Duration) {
        self.lock().rebase(reading);
    }

    /// The most that it has ever said while nobody had entered.
    pub fn latest(&self) -> Timestamp {
        timestamp(self.lock().latest)
    }

    /// Of the millisecond at hand so many nanoseconds have passed. What differs here may make a difference later.
    pub fn nanos(&self) -> u32 {
        self.lock().now().subsec_nanos() % 1_000_000
    }

    /// Called within a runtime: from now on time passes as there.
    pub fn enter(&self) {
        self.lock().began = Some(tokio::time::Instant::now());
    }

    /// Called within the same runtime: nothing passes until the next is entered.
    pub fn leave(&self) {
        let mut state = self.lock();
        let now = state.now();
        state.up = state.uptime();
        state.rebase(now);
        state.began = None;
    }

    /// Somebody sets it.
    pub fn step(&self, by: Duration, forward: bool) {
        let mut state = self.lock();
        let base = if forward { state.base + by } else { state.base.saturating_sub(by) };
        state.rebase(base);
    }
}

fn timestamp(reading: Duration) -> Timestamp {
    Timestamp(u64::try_from(reading.as_millis()).unwrap_or(u64::MAX))
}

impl State {
    fn rebase(&mut self, base: Duration) {
        (self.base, self.latest) = (base, self.latest.max(base));
    }

    fn now(&self) -> Duration {
        self.base + self.passed()
    }

    fn uptime(&self) -> Duration {
        self.up + self.passed()
    }

    fn passed(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        timestamp(self.lock().now())
    }

    fn uptime(&self) -> Duration {
        self.lock().uptime()
    }
}

/// Lets time pass for somebody who cannot wait asynchronously, within a runtime.
pub fn advance(by: Duration) {
    // It has happened when it is polled first; what it waits for then is only that others see it.
    let mut advancing = std::pin::pin!(tokio::time::advance(by));
    let _ = advancing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}
