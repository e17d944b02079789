#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lightship::fuzzing::ltx_decode(data));
