//! Randomness that follows from a seed: what the standard library, and with it hash maps and the runtime, ask the C
//! library for.

use std::sync::atomic::{AtomicU64, Ordering};

/// The state of the generator; 0 for the system's randomness.
static STATE: AtomicU64 = AtomicU64::new(0);

/// Lets all randomness of this process follow from `seed`.
pub fn seed(seed: u64) {
    STATE.store(seed | 1 << 63, Ordering::Relaxed);
    fastrand::seed(seed);
}

/// In place of the function of the C library, which is not called in a seeded process.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[expect(unsafe_code, reason = "the C library has no other seam")]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: usize,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if STATE.load(Ordering::Relaxed) == 0 {
        // SAFETY: the arguments are those of the caller.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as libc::ssize_t };
    }
    // SAFETY: the caller says that so many bytes may be written there.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for byte in bytes {
        let next = |state: u64| {
            Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        };
        let state = STATE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        *byte = (state >> 56) as u8;
    }
    length as libc::ssize_t
}
