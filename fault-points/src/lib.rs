//! Named places at which a test kills the program: `fault_point!("file-synced")`.
//!
//! With the feature `armed`, `LIGHTSHIP_FAULT=name` or `name:nth` kills the process (SIGKILL) when it passes the place
//! of that name for the nth time, and every name that is passed is added to the file that `LIGHTSHIP_FAULTS_PASSED`
//! names. Without the feature the macro expands to nothing. docs/reliability.md has the list of all names.

/// A place at which the program can be killed. The name stands in the list, and nowhere else in the program.
#[cfg(feature = "armed")]
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {
        $crate::pass($name)
    };
}

/// Nothing.
#[cfg(not(feature = "armed"))]
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {};
}

#[cfg(feature = "armed")]
pub use armed::pass;

#[cfg(feature = "armed")]
mod armed {
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    /// What the environment asks for.
    struct Orders {
        /// Where to die, and how often to pass before.
        deadly: Option<(String, AtomicU64)>,
        /// Where to write what is passed.
        list: Option<OsString>,
        passed: Mutex<BTreeSet<&'static str>>,
    }

    static ORDERS: LazyLock<Orders> = LazyLock::new(|| {
        let deadly = std::env::var("LIGHTSHIP_FAULT").ok().map(|text| match text.split_once(':') {
            Some((name, nth)) => (name.to_owned(), AtomicU64::new(nth.parse().unwrap_or(1))),
            None => (text, AtomicU64::new(1)),
        });
        Orders { deadly, list: std::env::var_os("LIGHTSHIP_FAULTS_PASSED"), passed: Mutex::default() }
    });

    /// Passes the place called `name`, or dies there.
    pub fn pass(name: &'static str) {
        if let Some(list) = &ORDERS.list
            && ORDERS.passed.lock().unwrap_or_else(PoisonError::into_inner).insert(name)
            && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(list)
        {
            // Whoever reads the list misses what could not be written.
            let _ = writeln!(file, "{name}");
        }
        if let Some((deadly, left)) = &ORDERS.deadly
            && deadly == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // No destructor runs and nothing is flushed, in any thread.
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
