//! Fuzzes records of a broker.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| towpath_fuzz::control_message(input));
