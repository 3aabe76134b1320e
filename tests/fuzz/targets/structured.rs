//! Fuzzes structured events: one JSON object.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| towpath_fuzz::structured(input));
