//! libFuzzer's way to [`heaplaw_fuzz::steps`], with a mutator that knows what an operation is.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heaplaw_fuzz::steps::steps(bytes));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Half of the time libFuzzer's own, which knows what the heap compares bytes with.
    if seed.is_multiple_of(2) {
        libfuzzer_sys::fuzzer_mutate(data, size, max_size)
    } else {
        heaplaw_fuzz::steps::mutate(&mut data[..max_size], size.min(max_size), seed / 2)
    }
});
