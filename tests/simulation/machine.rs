//! What the machine gives a replicator: time, pauses, random numbers and threads, all by the seed.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lightship::host::{self, Simulated, Work};

use super::time::advance;

/// How likely somebody else does something while a replicator asks for the time: one in so many.
const MEDDLES_ONE_IN: u32 = 60;
/// Somebody who waits for others may not wait for ever.
const PAUSES_MAX: u32 = 100_000;

/// One thread and one order of events.
pub struct Machine {
    random: RefCell<Rng>,
    /// What others do meanwhile.
    meanwhile: Box<dyn Fn()>,
    busy: Cell<bool>,
    pauses: Cell<u32>,
}

impl Machine {
    /// `meanwhile` is called where another process might do something.
    pub fn new(seed: u64, meanwhile: impl Fn() + 'static) -> Rc<Self> {
        let random = RefCell::new(Rng::with_seed(seed));
        let (busy, pauses) = (Cell::new(false), Cell::new(0));
        Rc::new(Self { random, meanwhile: Box::new(meanwhile), busy, pauses })
    }

    fn meddle(&self) {
        if !self.busy.replace(true) {
            (self.meanwhile)();
            self.busy.set(false);
        }
    }
}

impl Simulated for Machine {
    fn now(&self) -> Instant {
        let (micros, meddles) = {
            let mut random = self.random.borrow_mut();
            (random.u64(0..20), random.u32(0..MEDDLES_ONE_IN) == 0)
        };
        if meddles {
            self.meddle();
        }
        advance(Duration::from_micros(micros));
        tokio::time::Instant::now().into_std()
    }

    fn pause(&self, length: Duration) {
        self.pauses.set(self.pauses.get() + 1);
        assert!(self.pauses.get() < PAUSES_MAX, "the replicator waits for ever");
        advance(length);
        if self.random.borrow_mut().u32(0..4) == 0 {
            self.meddle();
        }
    }

    fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    fn work(&self, work: Work, receives: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (before, after) = {
            let mut random = self.random.borrow_mut();
            (delay(&mut random), delay(&mut random))
        };
        self.pauses.set(0);
        Box::pin(async move {
            wait(before).await;
            if receives {
                in_turns(work).await;
            } else {
                work();
            }
            wait(after).await;
        })
    }

    fn await_news(&self) {
        unreachable!("only the threads below receive");
    }
}

/// How long a thread of the pool takes to begin, or the task to learn that it is done.
fn delay(random: &mut Rng) -> Option<Duration> {
    match random.u32(0..10) {
        0..6 => None,
        6..9 => Some(Duration::from_micros(random.u64(0..2000))),
        _ => Some(Duration::from_millis(random.u64(0..50))),
    }
}

async fn wait(delay: Option<Duration>) {
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Task,
    Thread,
    /// The thread has done its work.
    Done,
    /// The task is gone, and the thread may end as it likes.
    Nobodys,
}

/// Only one of the two sides runs at a time, so their order is that of the seed.
#[derive(Debug)]
struct Baton {
    turn: Mutex<Turn>,
    passed: Condvar,
}

impl Baton {
    fn pass(&self, to: Turn) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if *turn != Turn::Nobodys {
            *turn = to;
        }
        self.passed.notify_all();
    }

    fn wait_while(&self, whose: Turn) -> Turn {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.passed.wait_while(turn, |turn| *turn == whose).unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread that receives is given.
struct Receiving(Arc<Baton>);

impl Simulated for Receiving {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn pause(&self, length: Duration) {
        std::thread::sleep(length);
    }

    fn random(&self) -> u64 {
        0
    }

    fn work(&self, work: Work, _receives: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        work();
        Box::pin(std::future::ready(()))
    }

    fn await_news(&self) {
        self.0.pass(Turn::Task);
        if self.0.wait_while(Turn::Task) == Turn::Nobodys {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Dropped with the thread's work, also if that panics.
struct Finish(Arc<Baton>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.pass(Turn::Done);
    }
}

/// Dropped with the task.
struct Abandon(Arc<Baton>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.pass(Turn::Nobodys);
    }
}

async fn in_turns(work: Work) {
    let baton = Arc::new(Baton { turn: Mutex::new(Turn::Task), passed: Condvar::new() });
    let abandon = Abandon(Arc::clone(&baton));
    let theirs = Arc::clone(&baton);
    let thread = std::thread::spawn(move || {
        theirs.wait_while(Turn::Task);
        host::simulate(Some(Rc::new(Receiving(Arc::clone(&theirs)))));
        let _finish = Finish(theirs);
        work();
    });
    loop {
        baton.pass(Turn::Thread);
        if baton.wait_while(Turn::Thread) == Turn::Done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(abandon);
    thread.join().expect("the thread has done its work");
}
