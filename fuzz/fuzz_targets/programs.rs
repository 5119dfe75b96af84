//! libFuzzer's way to [`heaplaw_fuzz::programs`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heaplaw_fuzz::programs(bytes));
