//! The allocator's settings.

/// Workers that one arena of memory is enough for.
const FEW: usize = 3;

/// Tells glibc to keep freed memory: a training step frees and takes hundreds of megabytes, and giving them back to the
/// kernel each time costs a page fault per 4 KiB. One arena serves all threads, so that replicas use each other's memory;
/// not where more than a few `workers` make batches, which would wait for it.
///
/// Call it once, before anything large is allocated. It does nothing where the C library is not glibc.
#[expect(unsafe_code, reason = "a call into the C library")]
pub fn keep_pages(workers: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets numbers in the allocator; the parameters are glibc's own.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        if workers <= FEW {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}
