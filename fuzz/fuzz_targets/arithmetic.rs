//! libFuzzer's way to [`heaplaw_fuzz::arithmetic`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heaplaw_fuzz::arithmetic::arithmetic(bytes));
