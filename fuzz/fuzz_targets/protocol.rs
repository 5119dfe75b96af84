//! libFuzzer's way to [`heaplaw_fuzz::protocol`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heaplaw_fuzz::protocol::protocol(bytes));
