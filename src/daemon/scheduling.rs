//! When the threads of a replicator run.

/// Makes the calling thread one that never interrupts another: when it wakes up it waits for a processor that is free,
/// or until whoever runs has had its turn. A writer on a machine whose processors are all busy keeps its own.
///
/// It still gets its share: with a lower priority it could be kept from going on while it holds the write lock. Threads
/// and programs that it starts inherit it. Where there is no such thing, nothing changes.
pub fn never_preempt() {
    #[cfg(target_os = "linux")]
    {
        let priority = libc::c_int::from(0);
        // SAFETY: the kernel reads one `struct sched_param`, which is one int, during the call. By number, because musl
        // has no such function. 0 is the calling thread.
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const priority) };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    /// What the kernel says of the calling thread: field 41, of which the first two end with a parenthesis.
    fn policy() -> Option<String> {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(38).map(str::to_owned)
    }

    #[test]
    fn a_thread_becomes_one_that_never_preempts() {
        std::thread::spawn(|| {
            assert_eq!(policy(), Some(libc::SCHED_OTHER.to_string()));
            super::never_preempt();
            assert_eq!(policy(), Some(libc::SCHED_BATCH.to_string()));
        })
        .join()
        .unwrap();
    }
}
