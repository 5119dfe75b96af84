//! Peers: the allocators that are compared, as far as they are there. Above nothing.
//!
//! Some come with this crate, from source; one is a library of the system, opened when it is first needed. What is
//! missing is told and left out.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ffi::{CStr, c_char, c_int, c_void},
    sync::OnceLock,
};

/// The lock file of this build, for the versions in it.
const LOCK: &str = include_str!("../Cargo.lock");

/// An allocator, whichever it is.
pub trait Allocator: GlobalAlloc + Sync {}

impl<A: GlobalAlloc + Sync> Allocator for A {}

/// The names of all peers, ours first.
pub const NAMES: [&str; 7] = ["heaplaw", "system", "mimalloc", "jemalloc", "snmalloc", "rpmalloc", "tcmalloc"];

/// What is done with an allocator, for each of them compiled on its own.
pub trait Visitor {
    /// What comes of it.
    type Output;
    /// Does it.
    fn visit<A: Allocator>(self, allocator: &A) -> Self::Output;
}

/// Shows a visitor the allocator of this name.
///
/// # Errors
/// Why that cannot be.
pub fn visit<V: Visitor>(name: &str, visitor: V) -> Result<V::Output, String> {
    match name {
        "heaplaw" => Ok(visitor.visit(&heaplaw_optimized::Global::<false>::new())),
        "hardened" => Ok(visitor.visit(&heaplaw_optimized::Global::<true>::new())),
        "system" => Ok(visitor.visit(&System)),
        "mimalloc" => Ok(visitor.visit(&mimalloc::MiMalloc)),
        "jemalloc" => Ok(visitor.visit(&tikv_jemallocator::Jemalloc)),
        #[cfg(feature = "snmalloc")]
        "snmalloc" => Ok(visitor.visit(&snmalloc_rs::SnMalloc)),
        #[cfg(not(feature = "snmalloc"))]
        "snmalloc" => Err("left out of this build: feature snmalloc, for which a C++ compiler is needed".into()),
        #[cfg(feature = "rpmalloc")]
        "rpmalloc" => Ok(visitor.visit(&rpmalloc::RpMalloc)),
        #[cfg(not(feature = "rpmalloc"))]
        "rpmalloc" => Err("left out of this build: feature rpmalloc, which makes threads crash now and then".into()),
        "tcmalloc" => TcMalloc::open().map(|tcmalloc| visitor.visit(tcmalloc)),
        other => Err(format!("there is no allocator {other:?}, only {NAMES:?} and hardened")),
    }
}

/// The version of a peer that is there.
pub fn version(name: &str) -> String {
    let locked = |package: &str| {
        let name = format!("name = \"{package}\"");
        let line = LOCK.split("[[package]]").find(|entry| entry.lines().any(|line| line == name));
        let version = line.and_then(|entry| entry.split("version = \"").nth(1)).and_then(|rest| rest.split('"').next());
        format!("{package} {}", version.unwrap_or("?"))
    };
    match name {
        "heaplaw" | "hardened" => locked("heaplaw-optimized"),
        "mimalloc" => locked("libmimalloc-sys"),
        "jemalloc" => locked("tikv-jemalloc-sys"),
        "snmalloc" => locked("snmalloc-sys"),
        "rpmalloc" => locked("rpmalloc-sys"),
        "tcmalloc" => TcMalloc::open().map_or_else(|error| error, |tcmalloc| tcmalloc.version.clone()),
        _ => system_version(),
    }
}

#[cfg(target_env = "gnu")]
fn system_version() -> String {
    // SAFETY: it gives a string that is never freed.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(not(target_env = "gnu"))]
fn system_version() -> String {
    String::from("the C library")
}

/// Google's, from a library of the system: Debian has it as `libtcmalloc-minimal4`.
pub struct TcMalloc {
    allocate: unsafe extern "C" fn(usize) -> *mut c_void,
    aligned: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    zeroed: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    resize: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    free_sized: unsafe extern "C" fn(*mut c_void, usize),
    version: String,
}

/// The names of the library, in the order in which they are tried; `HEAPLAW_TCMALLOC` comes first.
const TCMALLOC: [&str; 2] = ["libtcmalloc_minimal.so.4", "libtcmalloc.so.4"];

/// Alignments up to here need not be asked for: those of the smallest block.
const WORD: usize = 8;

impl TcMalloc {
    /// The library, opened once.
    ///
    /// # Errors
    /// That it is not there.
    pub fn open() -> Result<&'static TcMalloc, String> {
        static OPENED: OnceLock<Result<TcMalloc, String>> = OnceLock::new();
        let opened = OPENED.get_or_init(|| {
            let asked = std::env::var("HEAPLAW_TCMALLOC").ok();
            let mut missing = String::new();
            for name in asked.iter().map(String::as_str).chain(TCMALLOC) {
                // SAFETY: all that the library does when it is opened is to register itself.
                match unsafe { libloading::Library::new(name) } {
                    Ok(library) => return TcMalloc::of(library).map_err(|error| format!("{name}: {error}")),
                    Err(error) => missing = error.to_string(),
                }
            }
            Err(format!("{missing} (Debian: libtcmalloc-minimal4, or set HEAPLAW_TCMALLOC)"))
        });
        opened.as_ref().map_err(String::clone)
    }

    fn of(library: libloading::Library) -> Result<TcMalloc, libloading::Error> {
        // What it gives out must outlive everything.
        let library = Box::leak(Box::new(library));
        // SAFETY: these are the types that gperftools' `tcmalloc.h` declares.
        unsafe {
            let version: unsafe extern "C" fn(*mut c_int, *mut c_int, *mut *const c_char) -> *const c_char =
                *library.get(b"tc_version")?;
            let nowhere = std::ptr::null_mut();
            let version = CStr::from_ptr(version(nowhere, nowhere, std::ptr::null_mut()));
            Ok(TcMalloc {
                allocate: *library.get(b"tc_malloc")?,
                aligned: *library.get(b"tc_memalign")?,
                zeroed: *library.get(b"tc_calloc")?,
                resize: *library.get(b"tc_realloc")?,
                free: *library.get(b"tc_free")?,
                free_sized: *library.get(b"tc_free_sized")?,
                version: version.to_string_lossy().into_owned(),
            })
        }
    }
}

// SAFETY: it is what the C standard says of `malloc`, and `tc_memalign` of alignments.
unsafe impl GlobalAlloc for TcMalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, here and below.
        unsafe {
            if layout.align() <= WORD {
                (self.allocate)(layout.size()).cast()
            } else {
                (self.aligned)(layout.align(), layout.size()).cast()
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above; the block is as large as is written.
        unsafe {
            if layout.align() <= WORD {
                return (self.zeroed)(1, layout.size()).cast();
            }
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above. A block that was aligned may not be freed by its size.
        unsafe {
            if layout.align() <= WORD {
                (self.free_sized)(block.cast(), layout.size());
            } else {
                (self.free)(block.cast());
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() <= WORD {
                return (self.resize)(block.cast(), size).cast();
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fill;

    impl Visitor for Fill {
        type Output = ();
        fn visit<A: Allocator>(self, a: &A) {
            for (size, align) in [(1, 1), (24, 8), (24, 64), (5000, 16), (1 << 20, 4096)] {
                let layout = Layout::from_size_align(size, align).expect("a layout");
                // SAFETY: the block is written and read within its size, and freed with its layout.
                unsafe {
                    let block = a.alloc_zeroed(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0));
                    block.write_bytes(7, size);
                    let block = a.realloc(block, layout, size * 3);
                    assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 7));
                    a.dealloc(block, Layout::from_size_align(size * 3, align).expect("a layout"));
                }
            }
        }
    }

    #[test]
    fn every_peer_that_is_there_gives_blocks_and_the_others_are_told() {
        for name in NAMES {
            match visit(name, Fill) {
                Ok(()) => assert!(!version(name).contains('?'), "{name} is {}", version(name)),
                Err(why) => println!("{name} is not here: {why}"),
            }
        }
        assert!(visit("nothing", Fill).is_err());
    }
}
