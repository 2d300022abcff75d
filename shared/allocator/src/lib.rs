//! Settings of the C library's allocator. Deliberately absent: an allocator of another kind. mimalloc and jemalloc were
//! tried, and took 4 to 6 MB more than glibc does without these settings.

/// Threads share one arena, and memory is returned to the system in pieces of this size, in bytes.
#[cfg(target_env = "gnu")]
const PIECE_BYTES: libc::c_int = 64 << 10;

/// Makes glibc return freed memory early, instead of keeping it for the thread that freed it. Call it before the first
/// thread starts, because arenas that exist stay. Without effect where another C library is used.
///
/// Measured at full speed with 10,000,000 keys: 28.2 MB resident instead of 31.9, with the same CPU time.
pub fn return_memory_early() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, PIECE_BYTES),
        (libc::M_TRIM_THRESHOLD, 2 * PIECE_BYTES),
    ] {
        #[expect(unsafe_code, reason = "a foreign function; it takes two numbers and keeps no pointer")]
        // SAFETY: `mallopt` may be called at any time, takes its arguments by value, and rejects unknown ones.
        let accepted = unsafe { libc::mallopt(parameter, value) };
        debug_assert_eq!(accepted, 1, "mallopt({parameter}, {value})");
    }
}
