//! How memory is given back.

/// Keeps the threads of the blocking pool from hoarding memory of their own, and gives large buffers back at once.
///
/// glibc gives each thread an arena, and lets blocks that were freed once grow its idea of what is worth keeping; with
/// buffers of megabytes that are filled by one thread and freed by another that comes to 200 MB where 60 are enough.
///
/// For programs that have the process to themselves, before they start threads.
pub fn use_little_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, 4 << 20), (libc::M_TRIM_THRESHOLD, 8 << 20)]
    {
        // SAFETY: `mallopt` takes two integers, and only changes parameters of the allocator.
        unsafe { libc::mallopt(parameter, value) };
    }
}
