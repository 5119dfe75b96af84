//! libFuzzer's way to [`heaplaw_fuzz::text`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heaplaw_fuzz::text(bytes));
