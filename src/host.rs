//! What the machine gives besides files: monotonic time, pauses, random numbers, and threads that may block.
//!
//! Whoever follows, ships or restores asks here and nowhere else. So a simulation can answer instead: it has everything
//! run on one thread, in a time of its own, and decides what others do during a pause.

mod news;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::Either;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::task::{self, JoinError};

pub use news::News;

/// Work for a thread that may block.
pub type Work = Box<dyn FnOnce() + Send>;

/// Answers instead of the machine, to one thread and to those that it starts itself.
pub trait Simulated {
    /// As [`now`].
    fn now(&self) -> Instant;
    /// As [`pause`].
    fn pause(&self, length: Duration);
    /// As [`random`].
    fn random(&self) -> u64;
    /// Does `work` before it returns. If it `receives`, it calls [`Simulated::await_news`] where nothing is there yet.
    fn work(&self, work: Work, receives: bool) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// Lets others go on who may have something to send.
    fn await_news(&self);
}

thread_local! {
    static SIMULATED: RefCell<Option<Rc<dyn Simulated>>> = const { RefCell::new(None) };
}

/// From now on `instead` answers on this thread; `None`: the machine again.
pub fn simulate(instead: Option<Rc<dyn Simulated>>) {
    SIMULATED.set(instead);
}

fn simulated() -> Option<Rc<dyn Simulated>> {
    SIMULATED.with_borrow(Clone::clone)
}

/// The monotonic time.
#[must_use]
pub fn now() -> Instant {
    simulated().map_or_else(Instant::now, |host| host.now())
}

/// How long ago `instant` was.
#[must_use]
pub fn since(instant: Instant) -> Duration {
    now().saturating_duration_since(instant)
}

/// Lets the calling thread rest.
pub fn pause(length: Duration) {
    match simulated() {
        Some(host) => host.pause(length),
        None => std::thread::sleep(length),
    }
}

/// A number that nobody else has drawn.
#[must_use]
pub fn random() -> u64 {
    // Without the operating system's randomness the clock has to do: numbers need to differ, not to be secret.
    let drawn = || getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
    simulated().map_or_else(drawn, |host| host.random())
}

/// Runs `work` where it may block. It begins at once, and goes on if nobody waits for it any more.
///
/// # Errors
/// If it panics.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    run(work, false)
}

/// The same for work that [`receive`]s what async tasks send.
///
/// # Errors
/// If it panics.
pub fn receiving<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    run(work, true)
}

fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    receives: bool,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    let Some(host) = simulated() else { return Either::Left(task::spawn_blocking(work)) };
    let result = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&result);
    let fill = move || {
        let done = work();
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    };
    let working = host.work(Box::new(fill), receives);
    Either::Right(async move {
        working.await;
        let done = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(done.expect("BUG: the simulation has not done the work"))
    })
}

/// Waits for the next item, on a thread that may block; `None` if there will be no more.
pub fn receive<T>(from: &mut mpsc::Receiver<T>) -> Option<T> {
    let Some(host) = simulated() else { return from.blocking_recv() };
    loop {
        match from.try_recv() {
            Ok(item) => return Some(item),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => host.await_news(),
        }
    }
}
