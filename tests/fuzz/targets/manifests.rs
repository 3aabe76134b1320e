//! Fuzzes manifests: YAML to topology.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| towpath_fuzz::manifests(input));
