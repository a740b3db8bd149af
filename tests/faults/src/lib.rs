//! Calls of the C library that fail on demand, for a program that runs with this library in `LD_PRELOAD`.
//!
//! From the environment, read at the first call:
//! - `FAULT_FOLDER`: only files whose path has this in it count;
//! - `FAULT_CALL`: `open`, `write`, `fsync`, `rename` or `mmap`;
//! - `FAULT_AT`: which of these calls fails, from 0; later ones of a write fail as well, as on a full disk;
//! - `FAULT_ERRNO`: the number it fails with; of a write, half the bytes are written before;
//! - `FAULT_LOG`: the path is written to this file when a call failed.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    reason = "these functions stand in the place of those of the C library"
)]

use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What fails.
struct Plan {
    folder: Vec<u8>,
    call: String,
    at: usize,
    errno: c_int,
    log: CString,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
static CALLS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is in here already: what is called from here is not looked at.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn plan() -> Option<&'static Plan> {
    let read = || {
        let of = |name: &str| std::env::var_os(name);
        Some(Plan {
            folder: of("FAULT_FOLDER")?.as_bytes().to_owned(),
            call: of("FAULT_CALL")?.into_string().ok()?,
            at: of("FAULT_AT")?.into_string().ok()?.parse().ok()?,
            errno: of("FAULT_ERRNO")?.into_string().ok()?.parse().ok()?,
            log: CString::new(of("FAULT_LOG")?.as_bytes()).ok()?,
        })
    };
    PLAN.get_or_init(read).as_ref()
}

/// The function of the C library that has this name.
fn real(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a string; what is found is only called as what it is.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

/// Whether this call is to fail. Sets the error number then.
fn fails(call: &str, path: impl FnOnce() -> Option<Vec<u8>>) -> bool {
    if INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(true) {
        return false;
    }
    let hit = hit(call, path);
    let _ = INSIDE.try_with(|inside| inside.set(false));
    if let Some(errno) = hit {
        // SAFETY: the place of the error number of this thread.
        unsafe { *libc::__errno_location() = errno };
    }
    hit.is_some()
}

fn hit(call: &str, path: impl FnOnce() -> Option<Vec<u8>>) -> Option<c_int> {
    let plan = plan().filter(|plan| plan.call == call)?;
    let path = path()?;
    if !path.windows(plan.folder.len()).any(|part| part == plan.folder) {
        return None;
    }
    let n = CALLS.fetch_add(1, Ordering::Relaxed);
    if n < plan.at || (n > plan.at && call != "write") {
        return None;
    }
    if n == plan.at {
        // SAFETY: a string, and bytes with their length.
        unsafe {
            let log = libc::open(
                plan.log.as_ptr(),
                libc::O_CREAT | libc::O_WRONLY | libc::O_APPEND,
                0o600,
            );
            libc::write(log, path.as_ptr().cast(), path.len());
            libc::close(log);
        }
    }
    Some(plan.errno)
}

fn path_of(fd: c_int) -> Option<Vec<u8>> {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    Some(link.as_os_str().as_bytes().to_owned())
}

/// # Safety
/// `path` is a string or null.
unsafe fn path_at(path: *const c_char) -> Option<Vec<u8>> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let path = OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes());
    let whole = std::path::absolute(path).ok()?;
    Some(whole.as_os_str().as_bytes().to_owned())
}

macro_rules! open {
    ($name:ident, $symbol:literal) => {
        /// # Safety
        /// As for the function of the C library.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
            // SAFETY: the caller hands over a path, and the function found is the one of this name.
            unsafe {
                if fails("open", || path_at(path)) {
                    return -1;
                }
                let open: extern "C" fn(*const c_char, c_int, libc::mode_t) -> c_int =
                    std::mem::transmute(real($symbol));
                open(path, flags, mode)
            }
        }
    };
}

open!(open, c"open");
open!(open64, c"open64");

/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize {
    let before = CALLS.load(Ordering::Relaxed);
    let failed = fails("write", || path_of(fd));
    // SAFETY: the caller hands over bytes with their length, and the function found is the one of this name.
    unsafe {
        let write: extern "C" fn(c_int, *const c_void, usize) -> isize = std::mem::transmute(real(c"write"));
        let first = plan().is_some_and(|plan| before <= plan.at);
        match failed {
            true if first && len > 1 => write(fd, bytes, len / 2),
            true => -1,
            false => write(fd, bytes, len),
        }
    }
}

macro_rules! sync {
    ($name:ident, $symbol:literal) => {
        /// # Safety
        /// As for the function of the C library.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(fd: c_int) -> c_int {
            if fails("fsync", || path_of(fd)) {
                return -1;
            }
            // SAFETY: the function found is the one of this name.
            let sync: extern "C" fn(c_int) -> c_int = unsafe { std::mem::transmute(real($symbol)) };
            sync(fd)
        }
    };
}

sync!(fsync, c"fsync");
sync!(fdatasync, c"fdatasync");

/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller hands over paths, and the function found is the one of this name.
    unsafe {
        if fails("rename", || path_at(to)) {
            return -1;
        }
        let rename: extern "C" fn(*const c_char, *const c_char) -> c_int =
            std::mem::transmute(real(c"rename"));
        rename(from, to)
    }
}

macro_rules! mmap {
    ($name:ident, $symbol:literal) => {
        /// # Safety
        /// As for the function of the C library.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            at: *mut c_void,
            len: usize,
            protection: c_int,
            flags: c_int,
            fd: c_int,
            offset: libc::off64_t,
        ) -> *mut c_void {
            if fd >= 0 && fails("mmap", || path_of(fd)) {
                return libc::MAP_FAILED;
            }
            // SAFETY: the function found is the one of this name.
            unsafe {
                let mmap: extern "C" fn(
                    *mut c_void,
                    usize,
                    c_int,
                    c_int,
                    c_int,
                    libc::off64_t,
                ) -> *mut c_void = std::mem::transmute(real($symbol));
                mmap(at, len, protection, flags, fd, offset)
            }
        }
    };
}

mmap!(mmap, c"mmap");
mmap!(mmap64, c"mmap64");
