//! Fuzzes CESQL expressions.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| towpath_fuzz::cesql(input));
