//! Fuzzes binary events: attributes in headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| towpath_fuzz::headers(input));
