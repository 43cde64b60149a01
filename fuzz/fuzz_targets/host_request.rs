//! Throws bytes at the check of the same name.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| felhom_fuzzing::host_request(data));
